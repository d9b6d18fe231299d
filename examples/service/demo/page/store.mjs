// Where the phones are kept: one record each, in this browser's database.
//
// What an app keeps apart lies side by side here: the sealed blob, and the key that opens it. Whoever copies the browser's
// profile has both. An app has the platform's keystore for the key.

const NAME = "unjoin-demo", PHONES = "phones";

function settled(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

export class Phones {
  /** `platform`: whose phones they are. A demonstration that was started anew has other keys; its predecessor's phones are
      of no use to anybody. */
  static async open(platform) {
    const opening = indexedDB.open(NAME, 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(PHONES);
    const phones = Object.assign(new Phones(), { platform, database: await settled(opening) });
    phones.database.onversionchange = () => phones.database.close();
    return phones;
  }

  #rows(mode) {
    const transaction = this.database.transaction(PHONES, mode, { durability: "strict" });
    return { rows: transaction.objectStore(PHONES), done: new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onabort = transaction.onerror = () => reject(transaction.error);
    }) };
  }

  async read(phone) {
    const record = await settled(this.#rows("readonly").rows.get(phone));
    return record?.platform === this.platform ? record : undefined;
  }

  /** Returns when it is on the disk. */
  async write(phone, record) {
    const { rows, done } = this.#rows("readwrite");
    rows.put({ ...record, platform: this.platform }, phone);
    await done;
  }

  async lose(phone) {
    const { rows, done } = this.#rows("readwrite");
    rows.delete(phone);
    await done;
  }
}

/** One tab acts with a phone at a time: from reading its record to writing it. */
export const alone = (phone, work) => navigator.locks.request(`unjoin-phone-${phone}`, work);
