#!/usr/bin/env node
// Hands a trace over from a step that puts messages into a queue to a step that takes them.
//
//   node handover.mjs put FOLDER '{"repo": "shop/api"}'    with TRACEPARENT, TRACESTATE of this step, where there are any
//   node handover.mjs run FOLDER COMMAND [ARGUMENT...]     takes a message; COMMAND reads its body as JSON and does its part of the trace
//
// Exit: what COMMAND exits with; 3 nothing to take.

import { spawnSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const NOTHING = 3;
const say = (text) => console.error(`handover: ${text}`);

/** A queue: put(message), and take() which gives {message, done(), failed()} or undefined. Another one, with the same two, is a broker's. */
class FolderQueue {
  constructor(folder) {
    this.at = (...names) => join(folder, ...names);
    for (const state of ["writing", "new", "taken", "failed"]) mkdirSync(this.at(state), { recursive: true });
  }

  put(message) {
    // Takers come in the order of names.
    const name = `${Date.now().toString().padStart(15, "0")}-${randomUUID()}.json`;
    writeFileSync(this.at("writing", name), JSON.stringify(message));
    // So that nobody reads half a message.
    renameSync(this.at("writing", name), this.at("new", name));
  }

  take() {
    for (const name of readdirSync(this.at("new")).sort()) {
      const taken = this.at("taken", name);
      try {
        renameSync(this.at("new", name), taken);
      } catch (error) {
        // Another taker was faster.
        if (error.code === "ENOENT") continue;
        throw error;
      }
      return {
        message: JSON.parse(readFileSync(taken, "utf8")),
        done: () => rmSync(taken),
        // Kept for people, not tried for ever.
        failed: () => renameSync(taken, this.at("failed", name)),
      };
    }
  }
}

/** The context as version 00, or undefined where it is none by the rules of W3C Trace Context. */
function context(text) {
  const parts = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/.exec(text ?? "");
  if (!parts) return undefined;
  const [, version, trace, span, flags, more] = parts;
  const zero = /^0+$/;
  if (version === "ff" || zero.test(trace) || zero.test(span) || (version === "00" && more !== undefined)) return undefined;
  // Of a later version only what version 00 knows may be passed on.
  const known = version === "00" ? flags : (parseInt(flags, 16) & 1).toString(16).padStart(2, "0");
  return `00-${trace}-${span}-${known}`;
}

function put(queue, body) {
  const traceparent = context(process.env.TRACEPARENT);
  if (process.env.TRACEPARENT && !traceparent) say(`TRACEPARENT is not valid and not handed over: ${process.env.TRACEPARENT}`);
  const { TRACESTATE: tracestate } = process.env;
  queue.put({ headers: { ...(traceparent && { traceparent, ...(tracestate && { tracestate }) }) }, body: JSON.parse(body) });
}

function run(queue, command, args) {
  const taken = queue.take();
  if (!taken) return say("nothing to take"), NOTHING;
  const { headers = {}, body } = taken.message;
  const env = { ...process.env };
  const traceparent = context(headers.traceparent);
  if (traceparent) {
    env.TRACEPARENT = traceparent;
    // A state belongs to its parent, never to that of another; control characters are no part of it.
    delete env.TRACESTATE;
    if (/^[\x20-\x7e]{1,512}$/.test(headers.tracestate ?? "")) env.TRACESTATE = headers.tracestate;
    say(`the work is a child of ${traceparent}`);
  } else {
    // What this step has itself, if it has any, is left to it.
    say(headers.traceparent ? `started without: not a valid traceparent: ${headers.traceparent}` : "started without: no traceparent");
  }
  const { status, error } = spawnSync(command, args, { env, input: JSON.stringify(body), stdio: ["pipe", "inherit", "inherit"] });
  if (error) say(`${command}: ${error.message}`);
  status === 0 ? taken.done() : taken.failed();
  return status ?? 1;
}

const [mode, folder, first, ...rest] = process.argv.slice(2);
if (!["put", "run"].includes(mode) || first === undefined) {
  say("usage: put FOLDER JSON | run FOLDER COMMAND [ARGUMENT...]");
  process.exitCode = 2;
} else {
  const queue = new FolderQueue(folder);
  process.exitCode = mode === "put" ? put(queue, first) : run(queue, first, rest);
}
