-- Version 2: what revokes the bearers of the token API.

CREATE TABLE bearer (
    user       INTEGER PRIMARY KEY,             -- users.id of the gateway; 0: everybody
    generation INTEGER NOT NULL                 -- a bearer of an earlier one is refused
) STRICT;
