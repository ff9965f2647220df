/* Before a snapshot, `cas` asks the running app to write what it holds in memory. Copy this file beside your server:

     const cas = casFlush({ token: process.env.CAS_FLUSH_TOKEN, flush: writeAll, resume: writeWhatWaited });
     http      createServer(async (req, res) => (await cas.handle(req, res)) || yours(req, res))
     Express   app.use(cas.handle)
     Next      in app/internal/[verb]/route.js, with `cas` on globalThis (bundles load a module more than once):
               export const POST = async (req) =>
                 Response.json(...(await cas.answer("POST", req.url, req.headers.get("authorization"))))

   POST /internal/flush          `flush` writes everything and fsyncs it; the answer comes when it has
   POST /internal/flush?hold=5   and from then on write nothing while `cas.held`: until
   POST /internal/release        or, by itself, for 5 s (at most `longest`); then `resume` is called
   Each with `Authorization: Bearer TOKEN`. Only the process that is asked flushes: mind cluster mode. */
import { createHash, timingSafeEqual } from "node:crypto";

const digest = (text) => createHash("sha256").update(text).digest(); // of equal length: compared in constant time
const trouble = (error) => console.error("cas-flush:", error);

export function casFlush({ token, flush, resume = () => {}, longest = 60 }) {
  let timer = null;
  const release = () => {
    const held = timer !== null;
    clearTimeout(timer);
    timer = null;
    if (held) Promise.resolve().then(resume).catch(trouble);
    return held;
  };
  const flushed = async (seconds) => {
    release(); // the newest hold counts: one that was forgotten stops nobody
    if (seconds > 0) timer = setTimeout(release, Math.min(seconds, longest) * 1000); // first: nothing slips between
    try {
      return [{ flushed: (await flush()) ?? null, held: timer !== null }, { status: 200 }];
    } catch (error) {
      trouble(error), release();
      return [{ error: "could not write" }, { status: 500 }];
    }
  };
  const answer = async (method, target, authorization) => { // [body, { status }], or null: not for us
    const [, verb, query] = /^[^?]*\/internal\/(flush|release)(\?.*)?$/.exec(target) ?? [];
    if (!verb) return null;
    const right = timingSafeEqual(digest(authorization ?? ""), digest(`Bearer ${token}`));
    if (!token || !right) return [{ error: "unauthorized" }, { status: 401 }];
    if (method !== "POST") return [{ error: "only POST" }, { status: 405 }];
    if (verb === "release") return [{ released: release() }, { status: 200 }];
    const hold = new URLSearchParams(query).get("hold") ?? "0";
    return /^\d{1,9}(\.\d{1,9})?$/.test(hold) ? flushed(+hold) : [{ error: "hold is not in seconds" }, { status: 400 }];
  };
  const handle = async (request, response, next) => {
    const answered = await answer(request.method, request.originalUrl ?? request.url, request.headers.authorization);
    if (!answered) return next?.() ?? false;
    response.writeHead(answered[1].status, { "Content-Type": "application/json" }).end(JSON.stringify(answered[0]));
    return true;
  };
  return { answer, handle, get held() { return timer !== null; } };
}
