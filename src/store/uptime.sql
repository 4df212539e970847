-- Version 3: how long ago a credential's moments really were, whatever was done to the wall clock.

ALTER TABLE credential ADD COLUMN boot BLOB;             -- of the machine, when the uptimes were read
ALTER TABLE credential ADD COLUMN since_uptime INTEGER;  -- in milliseconds, at `since`
ALTER TABLE credential ADD COLUMN obtained_uptime INTEGER;  -- at `obtained_at`, if that was in this boot

-- Each settling marks the links of its credential.
CREATE INDEX link_credential ON link (credential);
