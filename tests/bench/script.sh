#!/bin/sh
# The job as the communities' cron scripts do it, rewritten for the comparison in tests/bench/contest.rs:
# exchange by curl, take the token by jq, paste it into the channel by sqlite3, tell PushPlus the whole
# token. As careless as they are on purpose; nobody should run it.
token=$(curl --silent --request POST "$TOKEN_URL" --header 'Content-Type: application/json' --data "{
  \"redirect_uri\": \"com.openai.chat://auth0.openai.com/ios/com.openai.chat/callback\",
  \"grant_type\": \"refresh_token\",
  \"client_id\": \"pdlLIX2Y72MIl2rhLhTE9VV9bN905kBh\",
  \"refresh_token\": \"$REFRESH_TOKEN\"
}" | jq --raw-output .access_token)
sqlite3 "$DATABASE" "UPDATE channels SET key = \"$token\" WHERE id = $CHANNEL"
curl --silent --output /dev/null "$PUSHPLUS_URL?token=fixture&title=refreshed&content=$token"
