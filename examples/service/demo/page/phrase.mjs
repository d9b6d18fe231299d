// A seed as words that can be read aloud: proquints (D. Wilkerson, "A Proposal for Proquints"), one for 16 bits, and one
// more, of the seed's SHA-256, by which a mistake is found.

const CONSONANTS = "bdfghjklmnprstvz", VOWELS = "aiou";

const word = bits => CONSONANTS[bits >> 12] + VOWELS[(bits >> 10) & 3] + CONSONANTS[(bits >> 6) & 15]
  + VOWELS[(bits >> 4) & 3] + CONSONANTS[bits & 15];

async function checked(seed) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", seed));
  return new Uint8Array([...seed, ...digest.subarray(0, 2)]);
}

/** 17 words for 32 bytes. */
export async function phraseOf(seed) {
  const bytes = await checked(seed);
  return Array.from({ length: bytes.length / 2 }, (_, at) => word(bytes[2 * at] << 8 | bytes[2 * at + 1])).join(" ");
}

/** The seed of a phrase; undefined for what is none: a word that is missing, or one letter that is another. */
export async function seedOf(phrase) {
  const words = phrase.toLowerCase().split(/[\s,-]+/).filter(Boolean), bytes = [];
  for (const word of words) {
    if (word.length !== 5) return undefined;
    const digits = [...word].map((letter, at) => (at % 2 ? VOWELS : CONSONANTS).indexOf(letter));
    if (digits.includes(-1)) return undefined;
    const [a, b, c, d, e] = digits, bits = a << 12 | b << 10 | c << 6 | d << 4 | e;
    bytes.push(bits >> 8, bits & 255);
  }
  const seed = new Uint8Array(bytes.slice(0, 32)), whole = await checked(seed);
  return bytes.length === 34 && whole.every((byte, at) => byte === bytes[at]) ? seed : undefined;
}
