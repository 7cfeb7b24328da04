#!/bin/sh
# Makes the certificates that the tests use: a certificate authority and, signed by it, one for localhost, 127.0.0.1 and ::1;
# and two for the same names that are signed by their own keys, one of them out of date. `make.sh self` makes these two alone.
# `make.sh clients` makes those for clients, some of which are servers too, and other names, of a second authority: client; old_client, out of date; deep and
# deeper, with one and two authorities in between; encrypted, a key under the passphrase "secret"; one, wild and rsa for servers;
# stranger, of an authority that nobody trusts; self_client, signed by its own key; and version_1, the same in X.509's first version.
# They protect nothing, since the keys are public. Those of the authorities are thrown away.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
touch "$work/index"

cat > "$work/config" <<END
[ca]
default_ca = tests
[tests]
database = $work/index
new_certs_dir = $work
rand_serial = yes
default_md = sha256
policy = any
default_startdate = 20200101000000Z
default_enddate = 21200101000000Z
[any]
commonName = supplied
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost,IP:127.0.0.1,IP:::1
authorityKeyIdentifier = keyid
[client]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = clientAuth,serverAuth
subjectAltName = DNS:localhost
[names]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = \$ENV::NAMES
END
export NAMES=DNS:localhost

request() { # subject, key file: prints a request
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -sha256 -subj "/CN=$1" -keyout "$2"
}

self_signed() { # name, end, kind: makes name.pem and name_key.pem
  request "$1" "$1_key.pem" > "$work/$1.request"
  openssl ca -batch -notext -config "$work/config" -selfsign -keyfile "$1_key.pem" -extensions "${3:-leaf}" -enddate "$2" \
    -in "$work/$1.request" -out "$1.pem"
  chmod 644 "$1_key.pem"
}

authority() { # name, subject, authority above, itself unless given: makes $work/name.pem and $work/name.key
  request "$2" "$work/$1.key" > "$work/$1.request"
  if [ -z "${3:-}" ]; then above="-selfsign -keyfile $work/$1.key"; else above="-cert $work/$3.pem -keyfile $work/$3.key"; fi
  openssl ca -batch -notext -config "$work/config" $above -extensions authority -in "$work/$1.request" -out "$work/$1.pem"
}

signed() { # name, authority, kind, end: makes name.pem and name_key.pem
  [ -f "$work/$1.request" ] || request "$1" "$1_key.pem" > "$work/$1.request"
  openssl ca -batch -notext -config "$work/config" -cert "$work/$2.pem" -keyfile "$work/$2.key" -extensions "$3" \
    -enddate "${4:-21200101000000Z}" -in "$work/$1.request" -out "$1.pem"
  chmod 644 "$1_key.pem"
}

if [ "${1:-}" = clients ]; then
  authority second "Sluice second authority"
  authority third "Sluice authority that nobody trusts"
  authority middle "Sluice middle authority" second
  authority lower "Sluice lower authority" middle
  cp "$work/second.pem" second_ca.pem
  signed client second client
  signed old_client second client 20210101000000Z
  signed deep middle client
  signed deeper lower client
  cat "$work/middle.pem" >> deep.pem
  cat "$work/lower.pem" "$work/middle.pem" >> deeper.pem
  signed stranger third client
  self_signed self_client 21200101000000Z client
  request version_1 version_1_key.pem > "$work/version_1.request"
  openssl x509 -req -in "$work/version_1.request" -signkey version_1_key.pem -days 36500 -out version_1.pem
  chmod 644 version_1_key.pem
  NAMES=DNS:one.example signed one second names
  NAMES=DNS:*.wild.example signed wild second names
  openssl req -newkey rsa:2048 -nodes -sha256 -subj "/CN=rsa" -keyout rsa_key.pem > "$work/rsa.request"
  NAMES=DNS:localhost signed rsa second names
  openssl pkcs8 -topk8 -in client_key.pem -passout pass:secret -out encrypted_key.pem
  chmod 644 encrypted_key.pem
  openssl genpkey -genparam -algorithm DH -pkeyopt group:ffdhe2048 -out dh.pem
  exit 0
fi

self_signed self 21200101000000Z
self_signed expired 20210101000000Z
[ "${1:-}" != self ] || exit 0

request "Sluice test authority" "$work/ca.key" > "$work/ca.request"
openssl ca -batch -notext -config "$work/config" -selfsign -keyfile "$work/ca.key" -extensions authority \
  -in "$work/ca.request" -out ca.pem

request localhost key.pem > "$work/leaf.request"
openssl ca -batch -notext -config "$work/config" -cert ca.pem -keyfile "$work/ca.key" -extensions leaf \
  -in "$work/leaf.request" -out cert.pem
chmod 644 key.pem
