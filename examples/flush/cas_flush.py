"""Before a snapshot, `cas` asks the running app to write what it holds in memory. Copy this file beside your app.

    cas = CasFlush(os.environ["CAS_FLUSH_TOKEN"], flush=write_all, resume=write_what_waited)
    if answered := cas.answer(method, target, headers.get("Authorization")):  # in any handler, WSGI or ASGI
        body, status = answered  # `body` goes out as JSON

POST /internal/flush          `flush` writes everything and fsyncs it; the answer comes when it has
POST /internal/flush?hold=5   and from then on write nothing while `cas.held`: until
POST /internal/release        or, by itself, for 5 s (at most `longest`); then `resume` is called
Each with `Authorization: Bearer TOKEN`. Only the process that is asked flushes: mind several workers.
"""

import hmac
import re
from threading import Lock, Timer
from urllib.parse import parse_qs


class CasFlush:
    """Look at `held` under the lock that `flush` and `resume` take: then nothing slips in between."""

    def __init__(self, token, flush, resume=lambda: None, longest=60):
        self.token, self.flush, self.resume, self.longest = token, flush, resume, longest
        self.lock, self.timer, self.held = Lock(), None, False

    def answer(self, method, target, authorization):
        """Body and status; None if the request is not for us."""
        path, _, query = target.partition("?")
        if not path.endswith(("/internal/flush", "/internal/release")):
            return None
        if not self.token or not hmac.compare_digest((authorization or "").encode(), f"Bearer {self.token}".encode()):
            return {"error": "unauthorized"}, 401
        if method != "POST":
            return {"error": "only POST"}, 405
        if path.endswith("release"):
            return {"released": self.release()}, 200
        hold = parse_qs(query, keep_blank_values=True).get("hold", ["0"])[0]
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", hold):
            return {"error": "hold is not in seconds"}, 400
        self.hold(min(float(hold), self.longest))  # first, so that nothing slips between
        try:
            return {"flushed": self.flush(), "held": self.held}, 200
        except BaseException:
            self.release()
            raise  # your framework makes it a 500: no acknowledgement

    def hold(self, seconds):
        """Hold from now on; the newest hold counts: one that was forgotten stops nobody."""
        self.release()
        if seconds > 0:
            timer = Timer(seconds, lambda: self.release(timer))
            timer.daemon, self.timer, self.held = True, timer, True
            timer.start()

    def release(self, only=None):
        """End the hold, or `only` the one of this timer; whether there was one."""
        with self.lock:
            held = self.held and only in (None, self.timer)
            if held:
                self.timer.cancel()
                self.held = False
        if held:
            self.resume()
        return held
