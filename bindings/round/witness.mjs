// A witness of the platform's ledgers (C2SP tlog-witness), so that devices can require one. It cosigns what it is given by
// the shop's clock, and checks nothing: `examples/witness` does.

import { createHash, generateKeyPairSync, sign } from "node:crypto";
import { createServer } from "node:http";

const NAME = "witness.example";

export class Witness {
  static async serve(now) {
    const witness = new Witness(), { publicKey, privateKey } = generateKeyPairSync("ed25519");
    const typed = Buffer.concat([Buffer.from([4]), publicKey.export({ type: "spki", format: "der" }).subarray(-32)]);
    const id = createHash("sha256").update(`${NAME}\n`).update(typed).digest().subarray(0, 4);
    Object.assign(witness, { now, privateKey, id, notes: new Map(), key: `${NAME}+${id.toString("hex")}+${typed.toString("base64")}` });
    witness.server = createServer(async (request, response) => {
      const parts = [];
      for await (const part of request) parts.push(part);
      const { status = 200, body } = witness.answer(request, Buffer.concat(parts).toString());
      response.writeHead(status).end(body);
    });
    await new Promise(listening => witness.server.listen(0, "::1", listening));
    witness.at = `http://[::1]:${witness.server.address().port}=${witness.key}`;
    return witness;
  }

  answer(request, body) {
    if (request.method === "POST") {
      const note = body.slice(body.indexOf("\n\n") + 2), text = note.slice(0, note.indexOf("\n\n") + 1);
      const line = this.cosign(text);
      this.notes.set(createHash("sha256").update(text.slice(0, text.indexOf("\n"))).digest("hex"), note + line);
      return { body: line };
    }
    const note = this.notes.get(request.url.split("/")[1]);
    return note ? { body: note } : { status: 404 };
  }

  /// cosignature/v1.
  cosign(text) {
    const time = Math.floor(this.now()), bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(BigInt(time));
    const signature = sign(null, Buffer.from(`cosignature/v1\ntime ${time}\n${text}`), this.privateKey);
    return `— ${NAME} ${Buffer.concat([this.id, bytes, signature]).toString("base64")}\n`;
  }

  end() {
    this.server.closeAllConnections();
    return new Promise(ended => this.server.close(ended));
  }
}
