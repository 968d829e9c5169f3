// The inner side of the engine huggingface-js: one JSON line in, one JSON line out, until standard input ends.
//
// Node gets this text on its command line and the package on standard input, so that it needs to read no file.

import { readSync, writeSync } from "node:fs";
import vm from "node:vm";

// Texts longer than this are not sent; the parent's own limit lies below.
const LONGEST = 1 << 24;
// A rendering that nobody waits for any more, because its session was killed, ends by itself.
const LONGEST_MS = 60_000;
const MESSAGE = 4_000;
const KEPT_TEMPLATES = 64;

function* lines() {
  const chunk = Buffer.allocUnsafe(1 << 16);
  let parts = [];
  for (let count; (count = readSync(0, chunk)) > 0; ) {
    let start = 0;
    for (let end; (end = chunk.subarray(0, count).indexOf(10, start)) >= 0; start = end + 1) {
      parts.push(Buffer.from(chunk.subarray(start, end)));
      yield JSON.parse(Buffer.concat(parts).toString());
      parts = [];
    }
    parts.push(Buffer.from(chunk.subarray(start, count)));
  }
}

function answer(reply) {
  let bytes = Buffer.from(JSON.stringify(reply) + "\n");
  while (bytes.length > 0) {
    bytes = bytes.subarray(writeSync(1, bytes));
  }
}

// The clock stands where the request says: the package's strftime_now asks `new Date()`.
const RealDate = Date;
let now = 0;
globalThis.Date = class Date extends RealDate {
  constructor(...parts) {
    if (parts.length === 0) {
      super(now);
    } else {
      super(...parts);
    }
  }
  static now() {
    return now;
  }
};

const input = lines();
const start = input.next().value;
const { Environment, Template } = await import(
  `data:text/javascript;base64,${Buffer.from(start.package).toString("base64")}`
);

// What the package's own raise_exception throws is a plain Error: note which errors come from there.
const refusals = new WeakSet();
const { set } = Environment.prototype;
Environment.prototype.set = function (name, value) {
  if (name !== "raise_exception" || typeof value !== "function") {
    return set.call(this, name, value);
  }
  return set.call(this, name, (...parts) => {
    try {
      return value(...parts);
    } catch (error) {
      refusals.add(error);
      throw error;
    }
  });
};

const compiled = new Map(); // the least recently used first

function template(source) {
  const found = compiled.get(source) ?? new Template(source);
  compiled.delete(source);
  compiled.set(source, found);
  if (compiled.size > KEPT_TEMPLATES) {
    compiled.delete(compiled.keys().next().value);
  }
  return found;
}

// As transformers.js calls it (PreTrainedTokenizer.apply_chat_template): absent tools and documents are null.
function render({ source, request, clock }) {
  now = clock; // in milliseconds, UTC
  const { messages, tools, kwargs, add_generation_prompt } = request;
  return template(source).render({
    messages,
    add_generation_prompt,
    tools,
    documents: null,
    ...start.special_tokens,
    ...kwargs,
  });
}

function outcome(order) {
  try {
    if (order.request === undefined) {
      template(order.source);
      return { compiles: true };
    }
    const text = render(order);
    return text.length > LONGEST ? { too_long: LONGEST } : { rendered: text };
  } catch (error) {
    const failure = { kind: error.name, message: error.message.slice(0, MESSAGE) };
    return refusals.has(error) ? { rejected: failure } : { failed: failure };
  }
}

const script = new vm.Script("conformance()");
answer({ ready: true });
for (const order of input) {
  globalThis.conformance = () => outcome(order);
  let reply;
  try {
    reply = script.runInThisContext({ timeout: LONGEST_MS });
  } catch {
    reply = { too_slow: LONGEST_MS / 1000 };
  }
  answer(reply);
}
