CREATE TABLE meta (
	key   TEXT PRIMARY KEY,
	value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE messages (
	seq             INTEGER PRIMARY KEY AUTOINCREMENT,
	client_created  INTEGER NOT NULL, -- UNIX seconds, as the client sent it
	id              BLOB    NOT NULL, -- 16 bytes
	type            TEXT    NOT NULL,
	callsign        TEXT    NOT NULL,
	client_uploaded INTEGER NOT NULL, -- UNIX seconds, as the client sent it
	time_created    INTEGER NOT NULL, -- UNIX seconds by the server's clock
	time_uploaded   INTEGER NOT NULL, -- UNIX seconds by the server's clock
	received        INTEGER NOT NULL, -- UNIX microseconds by the server's clock
	address         TEXT,             -- of the client; NULL once it was blanked
	data            TEXT    NOT NULL, -- canonical JSON
	UNIQUE (client_created, id)
) STRICT;

CREATE TABLE keys (
	callsign TEXT    NOT NULL,
	key      BLOB    NOT NULL, -- Idempotency-Key, as the client sent it
	seq      INTEGER NOT NULL, -- of the message that it stands for
	PRIMARY KEY (callsign, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX keys_by_seq ON keys (seq);

CREATE TRIGGER messages_keys AFTER DELETE ON messages BEGIN
	DELETE FROM keys WHERE seq = OLD.seq;
END;
