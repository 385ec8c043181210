"""An example of the other side of docs/http-contract.md, with nothing but the standard library: a table of notes in SQLite.

    SECRET=… python docs/http_contract_server.py notes.db 127.0.0.1:8099
"""

import hashlib, hmac, json, os, sqlite3, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAGE, WINDOW = 100, 300  # items an answer; seconds that a call may be old
TABLE = "CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, user_id, title, words, held DEFAULT 0, restricted DEFAULT 0)"
OWN = "user_id IN (SELECT value FROM json_each(?))"
OF_THE_PERSON = f"FROM notes WHERE {OWN} AND id > ?"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not self.is_signed(body):
            return self.answer(403, {"error": "signature"})
        asked = json.loads(body)
        call = self.path.rpartition("/")[2]
        if call == "check":
            return self.answer(200, {"horizon_days": 0, "can": ["rectify", "restrict"]})
        people = [value for kind, value in asked["identities"] if kind == "user_id"]
        if not people:
            return self.answer(422, {"error": "unknown person"})
        with sqlite3.connect(self.server.database) as database:
            return getattr(self, f"do_{call}")(database, json.dumps(people), asked)

    def is_signed(self, body):
        key, stamp, nonce = (self.headers.get(f"Habeas-{name}", "") for name in ("Key", "Timestamp", "Nonce"))
        parts = ["habeas-http-v1", "POST", self.headers["Host"], self.path, stamp, nonce, hashlib.sha256(body).hexdigest()]
        wanted = "hmac-sha256=" + hmac.new(self.server.secret, "\n".join(parts).encode(), hashlib.sha256).hexdigest()
        now, is_right = time.time(), hmac.compare_digest(wanted, self.headers.get("Habeas-Signature", "")) and key == "habeas"
        if not is_right or not stamp.isdigit() or abs(now - int(stamp)) > WINDOW:
            return False
        while (oldest := next(iter(self.server.nonces.items()), ("", now)))[1] < now - 2 * WINDOW:
            self.server.nonces.pop(oldest[0], None)
        return self.server.nonces.setdefault(nonce, now) == now  # a nonce counts once

    def page(self, database, person, asked):
        rows = database.execute(f"SELECT id, title, words {OF_THE_PERSON} ORDER BY id LIMIT ?", (person, int(asked["cursor"] or 0), PAGE)).fetchall()
        return rows, str(rows[-1][0]) if len(rows) == PAGE else None

    def do_find(self, database, person, asked):
        rows, cursor = self.page(database, person, asked)
        self.answer(200, {"items": [{"id": str(row[0]), "kind": "note", "size": len(row[2])} for row in rows], "cursor": cursor})

    def do_export(self, database, person, asked):
        rows, cursor = self.page(database, person, asked)
        files = [{"name": row[1], "media_type": "text/plain", "size": len(row[2])} for row in rows]
        items = [{"id": str(row[0]), "kind": "note", "data": {"title": row[1]}, "file": file} for row, file in zip(rows, files)]
        self.answer(200, {"items": items, "cursor": cursor})

    def do_file(self, database, person, asked):
        row = database.execute(f"SELECT words FROM notes WHERE {OWN} AND id = ?", (person, int(asked["id"]))).fetchone()
        self.answer(200 if row else 404, row[0] if row else {"error": "gone"})

    def do_erase(self, database, person, asked):
        ids = database.execute(f"SELECT id {OF_THE_PERSON} AND NOT held ORDER BY id LIMIT ?", (person, int(asked["cursor"] or 0), PAGE)).fetchall()
        database.executemany("DELETE FROM notes WHERE id = ?", ids)
        self.answer(200, {"erased": len(ids), "counts": {"notes": len(ids)}, "cursor": str(ids[-1][0]) if len(ids) == PAGE else None})

    def do_remaining(self, database, person, asked, count="count(*)"):
        count, held = database.execute(f"SELECT {count}, coalesce(sum(held), 0) {OF_THE_PERSON}", (person, 0)).fetchone()
        self.answer(200, {"count": count, "reason": "legal_hold" if held else "", "until": None})

    do_preflight = lambda self, *values: self.do_remaining(*values, count="coalesce(sum(held), 0)")

    def do_rectify(self, database, person, asked):  # of one field only: another one is an error, and a person looks
        update = f"UPDATE notes SET title = ? WHERE title IS coalesce(?, title) AND {OWN}"
        changes = [(one["value"], one["before"], person) for one in asked["changes"] if one["field"] == "title"]
        status = 200 if len(changes) == len(asked["changes"]) else 400
        self.answer(status, {"changed": sum(database.execute(update, change).rowcount for change in changes)})

    def do_restrict(self, database, person, asked):
        update = f"UPDATE notes SET restricted = ? WHERE restricted <> ? AND {OWN}"
        self.answer(200, {"changed": database.execute(update, (asked["on"], asked["on"], person)).rowcount})

    def answer(self, status, body):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

def make_server(database, secret, host="127.0.0.1", port=0):
    server = ThreadingHTTPServer((host, port), Handler)
    server.database, server.secret, server.nonces = database, secret.encode(), {}
    with sqlite3.connect(database) as opened:
        opened.execute(TABLE)
    return server

if __name__ == "__main__":
    host, _colon, port = sys.argv[2].rpartition(":")
    make_server(sys.argv[1], os.environ["SECRET"], host, int(port)).serve_forever()
