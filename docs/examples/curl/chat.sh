#!/bin/sh
# chat.sh [TEXT]: a session by curl. Create it, send, follow the answer, go away, resume from the cursor, stop the agent.
# HOLDFAST is the site; with TOKEN you are whom that acts as, else a guest.
set -eu
text=${1:-Hello} # without quotes and backslashes, which JSON would need escaped
site=${HOLDFAST:-http://127.0.0.1:8000}
cookies=$(mktemp)
stream=$(mktemp)
trap 'rm -f "$cookies" "$stream"' EXIT

if [ -n "${TOKEN:-}" ]; then
  set -- -H "Authorization: Bearer $TOKEN"
else # as a browser does: cookies, and the CSRF token out of them
  curl -sSf -c "$cookies" -o /dev/null "$site/"
  set -- -b "$cookies" -H "X-CSRFToken: $(sed -n 's/.*csrftoken[[:space:]]*//p' "$cookies")"
fi
set -- "$@" -sS --fail-with-body -w '\n' -H "Content-Type: application/json"

echo "# Create a session"
created=$(curl "$@" -d '{}' "$site/api/sessions/") || { echo "$created" && exit 1; }
session=$(echo "$created" | sed 's/.*"id": *"\([^"]*\)".*/\1/')
echo "$session"
api=$site/api/sessions/$session

echo "# Send: with the same id it may be sent again, and counts once"
message="{\"id\": \"curl-message-$$\", \"kind\": \"message\", \"payload\": {\"parts\": [{\"type\": \"text\", \"text\": \"$text\"}]}}"
curl "$@" -d "$message" "$api/signals/"
curl "$@" -d "$message" "$api/signals/"

# follow CURSOR: two seconds of the stream, as after a lost connection from CURSOR on
follow() {
  cursor=$1
  shift
  curl "$@" -N --max-time 2 "$api/stream/?cursor=$cursor" >"$stream" 2>/dev/null || [ $? = 28 ] || # 28: time is up
    { cat "$stream" && exit 1; }
  sed -n 's/^data: //p' "$stream"
}

echo "# Follow it for two seconds; the answer goes on without us"
follow "" "$@"
cursor=$(sed -n 's/^id: //p' "$stream" | tail -1)

echo "# Resume from $cursor"
follow "$cursor" "$@"

echo "# Stop the agent"
curl "$@" -d "{\"id\": \"curl-cancel-$$\", \"kind\": \"cancel\", \"payload\": {}}" "$api/signals/" || true # nothing_to_stop, if it has just ended

echo "# What is stored"
curl "$@" "$api/messages/?order=oldest"
