// Many connections of one process, each of which sends a ping every 10 ms and checks the answers.
//
//   node pinging.mjs PATH COUNT
//
// In: `rounds` or `stop`, a line. Out: lines with `> ` before them: `connected`; for `rounds` the median, the 99th
// percentile and the longest time from a ping to its answer, in microseconds; for `stop` how many pings were sent, how
// many were answered, and how many messages of the server have come. Anything lost, repeated or out of order ends it.

import { connect } from "node:net";
import { createInterface } from "node:readline";
import { Channel, T } from "./channel.mjs";

const [path, countText] = process.argv.slice(2);
const count = Number(countText);
const now = () => process.hrtime.bigint(); // CLOCK_MONOTONIC, as the server's
const say = (...what) => process.stdout.write(`> ${what.join(" ")}\n`);

function fail(why) {
  say(`failed: ${why}`);
  process.exit(1);
}

let rounds = [];
let ofTheServer = 0;
let answered = 0;
let established = 0;

class Pinging {
  constructor(id) {
    this.sent = 0;
    this.answers = 0;
    this.last = 0n;
    this.socket = connect(path, () => {
      this.channel.write({ t: T.establish, id, y: "bot", f: { a: true } });
    });
    this.channel = new Channel(this.socket, 3, {
      receive: (message) => this.receive(message),
      failed: (code) => fail(code),
    });
    this.socket.on("error", (error) => fail(error.code));
    this.socket.on("close", () => fail("the connection has ended"));
  }

  ping() {
    const data = Buffer.alloc(16);
    data.writeBigUInt64BE(BigInt(this.sent++), 0);
    data.writeBigUInt64BE(now(), 8);
    this.channel.write({ t: T.offer, pk: 0, pe: 1, d: data, v: "1", ...this.channel.name("client") });
  }

  receive(message) {
    if (message.t === T.establish) {
      established += 1;
      if (established === count) {
        say("connected");
        setInterval(() => stopped || all.forEach((one) => one.ping()), 10);
      }
      return;
    }
    if (message.t !== T.offer) return;
    const [number, time] = [message.d.readBigUInt64BE(0), message.d.readBigUInt64BE(8)];
    if (message.doc === "server") {
      if (time <= this.last) fail("out of order, or twice");
      this.last = time;
      ofTheServer += 1;
    } else {
      if (number !== BigInt(this.answers)) fail("lost, twice, or out of order");
      this.answers += 1;
      answered += 1;
      rounds.push(Number(now() - time) / 1000);
    }
  }
}

let stopped = false;
const all = Array.from({ length: count }, (_, at) => new Pinging(`n${at}`));

createInterface({ input: process.stdin }).on("line", (line) => {
  if (line === "rounds") {
    const sorted = rounds.sort((a, b) => a - b);
    rounds = [];
    const of = (percent) => Math.round(sorted[Math.floor(((sorted.length - 1) * percent) / 100)]);
    return say(of(50), of(99), of(100));
  }
  stopped = true;
  const sent = () => all.reduce((sum, one) => sum + one.sent, 0);
  const end = Date.now() + 20_000;
  const look = setInterval(() => {
    if (answered < sent() && Date.now() < end) return;
    clearInterval(look);
    say(sent(), answered, ofTheServer);
    process.exit(0);
  }, 10);
});
