#!/usr/bin/env bash
# Installs what `npm run test:interop` and `npm run bench -- --neutral` talk to, on Debian 12 or 13. Needs root or sudo.
#
# Postfix, Dovecot, haproxy, unbound, swaks, GNU SASL, curl and others come from apt. Exim and OpenSMTPD conflict with Postfix
# there, so they are downloaded and unpacked into a folder (ROHRPOST_PEERS, by default /var/cache/rohrpost-peers), and only
# the libraries that they need are installed. No service is started, now or at the next boot.
# Running it again does nothing when all is there.
set -euo pipefail

FOLDER=${ROHRPOST_PEERS:-/var/cache/rohrpost-peers}
PACKAGES=(postfix swaks libnet-ssleay-perl msmtp gsasl curl dovecot-core dovecot-lmtpd haproxy unbound python3 iproute2 openssl ca-certificates)
UNPACKED=(exim4-daemon-heavy opensmtpd)
SERVICES=(postfix dovecot haproxy unbound)
export DEBIAN_FRONTEND=noninteractive LC_ALL=C

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n --preserve-env=DEBIAN_FRONTEND "$@"; fi; }
quietly() { local log; log=$(mktemp); if "$@" >"$log" 2>&1 </dev/null; then rm -f "$log"; else cat "$log" >&2; rm -f "$log"; return 1; fi; }
installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }
fail() { echo "install-peers: $*" >&2; exit 1; }

command -v apt-get >/dev/null || fail "this script knows Debian only; the tests skip the peers that are missing"
[ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null || fail "needs root, or sudo without a password"

missing=()
for package in "${PACKAGES[@]}"; do installed "$package" || missing+=("$package"); done
unpack=()
for package in "${UNPACKED[@]}"; do [ -f "$FOLDER/$package/.unpacked" ] || unpack+=("$package"); done
if [ "${#missing[@]}" = 0 ] && [ "${#unpack[@]}" = 0 ]; then echo "install-peers: all peers are here"; exit 0; fi

quietly as_root apt-get update -qq || fail "apt-get update failed"

# invoke-rc.d asks this script before it starts anything; it goes away again when we made it.
policy=/usr/sbin/policy-rc.d
made_policy=no
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
  as_root chmod 755 "$policy"
  made_policy=yes
fi
cleanup() { if [ "$made_policy" = yes ]; then as_root rm -f "$policy"; fi; }
trap cleanup EXIT

install() { quietly as_root apt-get install -y -qq --no-install-recommends "$@" || fail "apt-get install $* failed"; }

if [ "${#missing[@]}" -gt 0 ]; then
  install "${missing[@]}"
  if [ -d /run/systemd/system ]; then
    for service in "${SERVICES[@]}"; do
      if [[ " ${missing[*]} " == *" $service"* ]]; then quietly as_root systemctl disable --now "$service" || true; fi
    done
  fi
fi

# Shared libraries that a package depends on, by name: they conflict with nothing.
libraries_of() { apt-cache depends --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances "$1" | sed -n 's/^ *|\{0,1\}Depends: \(lib[^ ]*\|zlib1g\)$/\1/p'; }

for package in "${unpack[@]}"; do
  mapfile -t libraries < <(libraries_of "$package")
  install "${libraries[@]}"
  work=$(mktemp -d)
  chmod 755 "$work"
  (cd "$work" && quietly apt-get download "$package") || fail "apt-get download $package failed"
  as_root mkdir -p "$FOLDER/$package"
  quietly as_root dpkg -x "$work"/*.deb "$FOLDER/$package" || fail "cannot unpack $package"
  rm -rf "$work"
  as_root touch "$FOLDER/$package/.unpacked"
done

# Both drop privileges to users that their packages would have made.
for user in opensmtpd opensmtpq Debian-exim; do
  getent passwd "$user" >/dev/null || quietly as_root useradd --system --user-group --no-create-home --home-dir /var/empty --shell /usr/sbin/nologin "$user" || fail "cannot add the user $user"
done
as_root mkdir -p /var/lib/opensmtpd/empty

echo "install-peers: installed ${missing[*]:-nothing new}; unpacked in $FOLDER: ${UNPACKED[*]}"
