-- keyfresh's own state, version 1. Times are unix milliseconds UTC. BLOBs named in `credential` and
-- `link` are sealed (secret.rs) under (table, row id, column).

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT;

CREATE TABLE credential (
    id             INTEGER PRIMARY KEY,
    name           TEXT NOT NULL UNIQUE,
    parked         INTEGER NOT NULL DEFAULT 0,  -- 1: left the configuration
    phase          TEXT NOT NULL CHECK (phase IN ('resting', 'exchanging', 'unconfirmed', 'dead')),
    since          INTEGER NOT NULL,
    due_at         INTEGER NOT NULL,
    not_before     INTEGER,                     -- a Retry-After still to be honoured
    resend_at      INTEGER,                     -- unconfirmed: when the token may be sent again;
                                                -- exchanging: since when it is in doubt, if it is
    attempt        INTEGER NOT NULL DEFAULT 0,
    slot           INTEGER,                     -- exchanging: where the answer goes
    preset         TEXT,                        -- exchanging: who reads the answer
    request_digest BLOB,                        -- token, endpoint and client of the last claim
    failures       INTEGER NOT NULL DEFAULT 0,  -- in a row
    generation     INTEGER NOT NULL DEFAULT 0,  -- of the access token; 0: none yet
    obtained_at    INTEGER,
    expires_at     INTEGER,
    last_error     TEXT,
    seed           BLOB,                        -- fingerprint of the seed last seen in the configuration
    refresh        BLOB,                        -- sealed: the refresh token in use
    previous       BLOB,                        -- sealed: its predecessor
    candidate      BLOB,                        -- sealed: a login entered during an exchange
    access         BLOB                         -- sealed: the access token of `generation`
) STRICT;

-- Every token ever held and every channel key met at first contact.
CREATE TABLE ledger (
    fingerprint BLOB PRIMARY KEY,
    credential  INTEGER NOT NULL,
    kind        TEXT NOT NULL CHECK (kind IN ('refresh', 'access', 'key')),
    generation  INTEGER NOT NULL,
    at          INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE link (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    credential   INTEGER NOT NULL,
    channel      INTEGER NOT NULL,
    line         INTEGER NOT NULL DEFAULT -1,   -- of a multi-key channel; -1: the whole key
    created_time INTEGER NOT NULL,              -- of the channel, at first contact
    type         INTEGER NOT NULL,              -- of the channel, at first contact
    state        TEXT NOT NULL CHECK (state IN ('current', 'pending', 'conflict', 'gone')),
    generation   INTEGER NOT NULL DEFAULT 0,    -- brought to the channel
    status       INTEGER NOT NULL DEFAULT 0,    -- channels.status when last read
    watch_until  INTEGER,                       -- the gateway may still refuse by the old key until then
    enables      INTEGER NOT NULL DEFAULT 0,    -- after the watch, since the last write
    untold       INTEGER NOT NULL DEFAULT 0,    -- 1: a write the gateway has yet to be told of
    stripped     BLOB,                          -- sealed: the refresh token taken out of a JSON key
    settle_at    INTEGER,                       -- when the channel is read again after stripping
    last_error   TEXT,
    UNIQUE (channel, line)
) STRICT;

CREATE TABLE event (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    at         INTEGER NOT NULL,
    credential TEXT,                            -- its name; NULL: the daemon itself
    kind       TEXT NOT NULL,
    detail     TEXT NOT NULL                    -- JSON, no secrets
) STRICT;

CREATE TABLE notifier (
    name       TEXT PRIMARY KEY,
    cursor     INTEGER NOT NULL,                -- the last event it is done with
    not_before INTEGER,
    tries      INTEGER NOT NULL DEFAULT 0,
    detail     TEXT NOT NULL DEFAULT '{}'       -- JSON: its counts against the service's limits
) STRICT;
