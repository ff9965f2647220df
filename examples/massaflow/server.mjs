/* MassaFlow's server: `npm start`. Tables in memory, each file rewritten whole by `writeFileSync`.

   GET /api/health                     200 {"status":"OK"}, or 503 {"status":"DEGRADED","problems":[…]}
   GET /api/TABLE                      its records
   PATCH /api/TABLE/NUMBER             sets fields of one record; `saved` says whether they are in the file
   POST /api/events                    appended to the log
   POST /internal/flush[?hold=SECONDS], /internal/release: see ../flush/cas-flush.mjs

   Tables are written with each change. With FLUSH_EVERY=SECONDS in the environment they stay in memory, and are written
   so often, on flush, and at the end. The environment also says PORT; else `.env.local` does. */
import { createServer } from "node:http";

import { casFlush } from "./cas-flush.mjs";
import { State, readEnv } from "./state.mjs";

const env = readEnv();
const every = Number(env.FLUSH_EVERY ?? 0);
const state = new State();
const cas = casFlush({ token: env.CAS_FLUSH_TOKEN, flush: () => state.flush(), resume: settle });

/** Write what waits, unless a backup is at work. */
function settle() {
  if (cas.held) return;
  state.save();
  state.writeEvents();
}

/** [body, status] for a request; its own body is null if it was no JSON object. */
function answer(method, target, body) {
  const [, api, name, number, ...more] = target.split("?")[0].split("/");
  const route = api === "api" && !more.length && `${method} ${number === undefined ? "" : "NUMBER"}`;
  if (route === "GET " && name === "health") return state.health();
  if (route === "GET " && state.tables.has(name)) return [state.tables.get(name), 200];
  if (route === "PATCH NUMBER" && state.tables.has(name)) return change(name, number, body);
  if (route === "POST " && name === "events") return note(body);
  return [{}, 404];
}

/** Change one record, and write its table unless it is to stay in memory. */
function change(name, number, fields) {
  const known = /^[0-9]{1,9}$/.test(number) && number > 0 && number <= state.tables.get(name).length;
  if (!known) return [{}, 404];
  if (!fields) return [{ error: "not a JSON object" }, 400];
  state.change(name, Number(number), fields);
  if (!every && !cas.held) state.save();
  return [{ saved: !state.changed.has(name) }, 200];
}

/** Append to the log, or later if a backup is at work. */
function note(event) {
  if (!event) return [{ error: "not a JSON object" }, 400];
  state.waiting.push({ ts: new Date().toISOString(), ...event });
  if (!cas.held) state.writeEvents();
  return [{ saved: !state.waiting.length }, 200];
}

/** The JSON object that was sent; null if it is none, or if whoever sent it left in between. */
async function read(request) {
  try {
    const parts = [];
    for await (const part of request) parts.push(part);
    const body = JSON.parse(Buffer.concat(parts).toString());
    return typeof body === "object" && !Array.isArray(body) ? body : null;
  } catch {
    return null;
  }
}

async function respond(request, response) {
  if (await cas.handle(request, response)) return;
  const sent = await read(request);
  const [body, status] = attempt(() => answer(request.method, request.url, sent)) ?? [{ error: "could not write" }, 500];
  response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(body));
}

/** A full disk ends nothing: what could not be written is still to be written. */
function attempt(act) {
  try {
    return act();
  } catch (error) {
    console.error(`massaflow: ${error.message}`);
    return undefined;
  }
}

/** Nothing is acknowledged after this: the process ends in the same turn. */
function stop() {
  process.exit(attempt(() => state.flush()) ? 0 : 1);
}

const port = Number(env.PORT ?? 3000);
const server = createServer(respond);
server.on("error", (error) => {
  console.error(error.code === "EADDRINUSE" ? `massaflow: port ${port} is in use` : `massaflow: ${error.message}`);
  process.exit(1);
});
server.listen(port, "127.0.0.1", () => {
  process.on("SIGTERM", stop).on("SIGINT", stop);
  if (every) setInterval(() => attempt(settle), every * 1000);
  console.log(`http://127.0.0.1:${server.address().port}`);
});
