#!/bin/sh
# Makes the certificates that the tests use: a certificate authority and, signed by it, one for localhost, 127.0.0.1 and ::1;
# and two for the same names that are signed by their own keys, one of them out of date. `make.sh self` makes these two alone.
# They protect nothing, since both are public. The key of the authority is thrown away.
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
END

request() { # subject, key file: prints a request
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -sha256 -subj "/CN=$1" -keyout "$2"
}

self_signed() { # name, end: makes name.pem and name_key.pem
  request "$1" "$1_key.pem" > "$work/$1.request"
  openssl ca -batch -notext -config "$work/config" -selfsign -keyfile "$1_key.pem" -extensions leaf -enddate "$2" \
    -in "$work/$1.request" -out "$1.pem"
  chmod 644 "$1_key.pem"
}

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
