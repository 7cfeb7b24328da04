/**
 * The options for `node:tls`, the options that a runtime does not support, and the checks of certificates.
 *
 * @module
 */

import { constants, createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import process from "node:process";
import tls from "node:tls";
import type { ClientCertificates, ConnectTls, KeyPair, TlsChoices, TlsOptions } from "../src/transport/runtime.ts";

const inDeno = "Deno" in globalThis;
const inBun = "Bun" in globalThis;

/** Whether clients get the certificate for their name also if its key is of another kind than that of the main certificate. */
const mixesKinds = inDeno || inBun || parseInt(process.versions.node) >= 24;

/** The number of client certificates that are remembered; more than the TLS sessions that Deno could resume. */
const REMEMBERED = 1024;

/** The code of errors in TLS options. */
const OPTION = "ERR_TLS_OPTION";

/** Creates an error with a code. */
export function failure(code: string, message: string, cause?: unknown): Error {
  return Object.assign(new Error(message, { cause }), { code });
}

/** Throws for options that the runtime would ignore. Messages use the names of the settings, because programs know only those. */
function refuseUnsupported(options: TlsChoices & { curves?: unknown; dhParameters?: unknown }): void {
  const { ciphers, curves, dhParameters, maxVersion } = options;
  const refuse = (name: string, why: string) => {
    throw failure(OPTION, `${name} cannot be had here: ${why}`);
  };
  if (inDeno) {
    if (ciphers !== undefined) refuse("ssl_ciphers", "Deno does not let one choose cipher suites");
    if (curves !== undefined) refuse("ssl_ecdh_curve", "Deno does not let one choose groups");
    if (maxVersion === "TLSv1" || maxVersion === "TLSv1.1") refuse("ssl_protocols", "Deno speaks TLS 1.2 and 1.3 only");
  }
  if (inBun && ciphers !== undefined && /(^|[:, ])[!+-]?TLS_/.test(ciphers)) {
    refuse("ssl_ciphers", "Bun does not let one choose the cipher suites of TLS 1.3");
  }
  if ((inDeno || inBun) && dhParameters !== undefined) refuse("ssl_dhparam", `${inDeno ? "Deno" : "Bun"} knows no DHE`);
}

/** Checks each option with the TLS library, so that the error names the invalid one. */
function proveChoices(choices: Readonly<Record<string, tls.SecureContextOptions>>): void {
  for (const [name, choice] of Object.entries(choices)) {
    if (Object.values(choice)[0] === undefined) continue;
    try {
      tls.createSecureContext(choice);
    } catch (cause) {
      tls.createSecureContext({}); // Node 20 would report the same error again for the next key
      throw failure(OPTION, `${name} cannot be used: ${(cause as Error).message}`, cause);
    }
  }
}

/**
 * Returns the decrypted private key of a pair. Also detects mismatched pairs, which `node:tls` in Deno accepts until the first
 * handshake.
 */
function openKey({ cert, key, passphrase }: KeyPair): string {
  certificatesIn(cert, "in the certificate chain");
  const privateKey = passphrase === undefined ? createPrivateKey(key) : decrypt(key, passphrase);
  if (!new X509Certificate(cert).checkPrivateKey(privateKey)) {
    throw failure(OPTION, "the private key does not belong to the certificate");
  }
  return passphrase === undefined ? key : String(privateKey.export({ type: "pkcs8", format: "pem" }));
}

/** Returns the kind of a private key, such as `rsa` or `ec`. */
function kindOf(key: string): string {
  return createPrivateKey(key).asymmetricKeyType!;
}

function decrypt(key: string, passphrase: string): KeyObject {
  try {
    return createPrivateKey({ key, passphrase });
  } catch (cause) {
    throw failure(OPTION, `the private key cannot be opened with ssl_passphrase: ${(cause as Error).message}`, cause);
  }
}

/**
 * Returns the certificates in a PEM text.
 *
 * @param where The text, for error messages.
 */
function certificatesIn(pem: string, where = "among the authorities"): string[] {
  const found = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g);
  if (found === null) throw failure(OPTION, `there is no certificate ${where}`);
  for (const each of found) new X509Certificate(each); // throws for invalid ones
  return found;
}

/** The TLS of a listener, for connections from now on. */
export class ServerTls {
  /** The options for `node:tls`. */
  options!: tls.TlsOptions;
  /** The certificate and its key. */
  context!: tls.SecureContext;
  /** The judge of client certificates. */
  judge!: ClientJudge;

  /** @throws {Error} As `prepare()`. */
  constructor(options: TlsOptions) {
    this.prepare(options)();
  }

  /**
   * See `Listener.prepareTls()`.
   *
   * @throws {Error} For options that the runtime does not support, or a private key that does not match its certificate.
   */
  prepare(given: TlsOptions): () => void {
    const options = serverOptions(given);
    const context = tls.createSecureContext(options);
    const judge = new ClientJudge(given.clients, this.judge);
    return () => {
      this.options = options;
      this.context = context;
      this.judge = judge;
    };
  }
}

/** Returns the `node:tls` options of a server. */
function serverOptions(options: TlsOptions): tls.TlsOptions {
  const { minVersion, maxVersion, ciphers, curves: ecdhCurve, dhParameters: dhparam, clients, names } = options;
  refuseUnsupported(options);
  proveChoices({ ssl_ciphers: { ciphers }, ssl_ecdh_curve: { ecdhCurve }, ssl_dhparam: { dhparam } });
  const shared: tls.TlsOptions = {
    ...defined({ minVersion, maxVersion, ciphers, ecdhCurve, dhparam, honorCipherOrder: options.preferServerCiphers }),
    ...(clients === undefined ? {} : {
      ca: certificatesIn(clients.ca),
      requestCert: true,
      rejectUnauthorized: clients.required && !clients.allowSelfSigned, // if self-signed ones are allowed, ClientJudge decides
      secureOptions: constants.SSL_OP_NO_TICKET, // a resumed session does not include the chain
    }),
  };
  const main = { ...shared, cert: options.cert, key: openKey(options) };
  if (names === undefined) return main;
  const contexts = new Map<string, tls.SecureContext>();
  const kind = kindOf(main.key);
  for (const [name, pair] of names) {
    if (!mixesKinds && kindOf(openKey(pair)) !== kind) {
      throw failure(
        OPTION,
        `ssl_sni_certs cannot be had here: before Node 24, the key for ${name} has to be ${kind}, like the main one`,
      );
    }
    contexts.set(name, tls.createSecureContext({ ...shared, cert: pair.cert, key: openKey(pair) }));
  }
  const byDefault = tls.createSecureContext(main);
  const choose = (name: string) => contexts.get(name) ?? contexts.get(name.replace(/^[^.]*/, "*")) ?? byDefault;
  return { ...main, SNICallback: (name, done) => done(null, choose((name ?? "").toLowerCase())) };
}

/**
 * Returns the `node:tls` options of a client, except for the address of the server.
 *
 * @throws {Error} As `serverOptions()`.
 */
export function clientOptions(options: ConnectTls): tls.ConnectionOptions {
  const { serverName, verifyPeer, allowSelfSigned, ca, cert, key, passphrase, minVersion, maxVersion, ciphers } = options;
  refuseUnsupported(options);
  proveChoices({ ssl_ciphers: { ciphers } });
  const authorities = ca === undefined ? undefined : certificatesIn(ca);
  return {
    ...defined({ minVersion, maxVersion, ciphers }),
    checkServerIdentity: (_host, peer) => tls.checkServerIdentity(serverName, peer),
    rejectUnauthorized: verifyPeer && !allowSelfSigned, // if self-signed ones are allowed, judgeServer() decides
    ca: verifyPeer && allowSelfSigned ? authorities ?? defaultAuthorities() : authorities,
    ...(cert === undefined || key === undefined ? {} : { cert, key: openKey({ cert, key, passphrase }) }),
  };
}

/** Removes options that are not set, because runtimes treat `undefined` differently. */
function defined<T extends object>(options: T): Partial<T> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Partial<T>;
}

/**
 * Returns the authorities that are trusted by default. Setting them explicitly makes Deno keep the TLS sessions of a connection
 * separate. Otherwise Deno resumes sessions of connections without any checks and reports the certificate as authorized.
 */
function defaultAuthorities(): string[] {
  const { getCACertificates } = tls as { getCACertificates?: (type: "default") => string[] };
  return getCACertificates?.("default") ?? [...tls.rootCertificates];
}

/**
 * Reports whether the peer has proved that it has the private key. Deno does not check this for certificates of version 1 or 2,
 * so anyone could present them.
 */
function isProven(raw: Uint8Array): boolean {
  if (!inDeno) return true;
  let at = 0; // the position of the version, which is two sequences deep
  for (let depth = 0; depth < 2; depth++) at += raw[at + 1] < 0x80 ? 2 : 2 + (raw[at + 1] & 0x7f);
  return raw[at] === 0xa0 && raw[at + 4] === 2; // RFC 5280 section 4.1: version 3
}

/** Returns the peer's certificate in PEM. */
export function certificateOf(socket: tls.TLSSocket): string | undefined {
  const raw: Uint8Array | undefined = socket.getPeerCertificate()?.raw;
  if (raw === undefined || !isProven(raw)) return undefined;
  const lines = btoa(String.fromCharCode(...raw)).match(/.{1,64}/g)!;
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}

/** Returns why a server's certificate is rejected; `undefined` if it is trusted, or self-signed where that is allowed. */
export function judgeServer(socket: tls.TLSSocket, options: ConnectTls): Error | undefined {
  try {
    return judge(socket, options);
  } catch (cause) {
    return failure("UNABLE_TO_VERIFY_LEAF_SIGNATURE", `the certificate cannot be read: ${(cause as Error).message}`, cause);
  }
}

function judge(socket: tls.TLSSocket, options: ConnectTls): Error | undefined {
  const { serverName, allowSelfSigned, depth, ca } = options;
  if (socket.authorized && !(allowSelfSigned && socket.isSessionReused())) {
    if (depth === undefined || depth >= depthOf(socket, ca === undefined ? rootCertificates() : parse(ca))) return undefined;
    return failure("CERT_CHAIN_TOO_LONG", `there are more than ${depth} certificates between the server's and an authority`);
  }
  const peer = socket.getPeerCertificate();
  const certificate = peer.raw === undefined || !isProven(peer.raw) ? undefined : new X509Certificate(peer.raw);
  if (allowSelfSigned && certificate !== undefined && isSelfSigned(certificate)) {
    return judgeDates(certificate) ?? tls.checkServerIdentity(serverName, peer);
  }
  const verdict: unknown = socket.authorizationError; // the code or, in some runtimes, the error
  return verdict instanceof Error ? verdict : failure(String(verdict), `the certificate is not trusted (${verdict})`);
}

/** A judge of client certificates. Each listener has one. */
class ClientJudge {
  readonly #clients: ClientCertificates | undefined;
  readonly #authorities: readonly X509Certificate[];
  readonly #admitted: Set<string>;

  /** @param previous The judge before. What it has admitted is still good if the authorities are the same. */
  constructor(clients: ClientCertificates | undefined, previous?: ClientJudge) {
    this.#clients = clients;
    const before = previous === undefined ? undefined : previous.#clients;
    this.#admitted = previous !== undefined && before?.ca === clients?.ca ? previous.#admitted : new Set();
    this.#authorities = clients?.depth === undefined ? [] : parse(clients.ca);
    if (clients?.required && clients.depth !== undefined && clients.depth > 0 && !tellsChains()) {
      const message =
        `ssl_verify_depth cannot be ${clients.depth} here: Node 24 does not tell the chain of a client's certificate`;
      throw failure(OPTION, message);
    }
  }

  /**
   * Reports whether a client is admitted.
   *
   * @param verdict The error of its certificate according to the runtime; empty for none.
   */
  admits(socket: tls.TLSSocket, verdict: string): boolean {
    try {
      return this.#clients === undefined || this.#judge(socket, verdict, this.#clients.required);
    } catch {
      return false; // the certificate cannot be read
    }
  }

  #judge(socket: tls.TLSSocket, verdict: string, required: boolean): boolean {
    const { raw } = socket.getPeerCertificate() ?? {};
    if (raw !== undefined && !isProven(raw)) return false;
    if (!required) return true;
    if (raw === undefined) return false;
    const certificate = new X509Certificate(raw);
    const print = certificate.fingerprint256;
    // Deno resumes any TLS session of the program, including those of other ports, without a certificate error. Accept only
    // certificates that were accepted here before.
    if (socket.isSessionReused()) return this.#admitted.has(print) && judgeDates(certificate) === undefined;
    if (!this.#isGood(socket, certificate, verdict)) return false;
    this.#admitted.delete(print); // to move it to the end, as the most recent one
    this.#admitted.add(print);
    if (this.#admitted.size > REMEMBERED) this.#admitted.delete(this.#admitted.values().next().value!);
    return true;
  }

  #isGood(socket: tls.TLSSocket, certificate: X509Certificate, verdict: string): boolean {
    const { allowSelfSigned, depth } = this.#clients!;
    if (verdict !== "") return allowSelfSigned && isSelfSigned(certificate) && judgeDates(certificate) === undefined;
    return depth === undefined || depthOf(socket, this.#authorities) <= depth;
  }
}

/** Reports whether servers can see the certificate chain of a client. Node 24 cannot. */
function tellsChains(): boolean {
  return inDeno || inBun || !process.versions.node.startsWith("24.");
}

/** Returns the number of certificates between the peer's and an authority; `Infinity` if no chain leads to one. */
function depthOf(socket: tls.TLSSocket, authorities: readonly X509Certificate[]): number {
  let peer: tls.DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
  for (let depth = 0; depth < 256 && peer?.raw !== undefined; depth++) {
    const certificate = new X509Certificate(peer.raw);
    if (authorities.some((each) => certificate.checkIssued(each) && certificate.verify(each.publicKey))) return depth;
    peer = peer.issuerCertificate === peer ? undefined : peer.issuerCertificate;
  }
  return Infinity;
}

function isSelfSigned(certificate: X509Certificate): boolean {
  return certificate.subject === certificate.issuer && certificate.verify(certificate.publicKey);
}

/** Returns an error if the certificate has expired or is not yet valid. */
function judgeDates(certificate: X509Certificate): Error | undefined {
  const now = Date.now();
  if (now > Date.parse(certificate.validTo)) return failure("CERT_HAS_EXPIRED", "certificate has expired");
  if (now < Date.parse(certificate.validFrom)) return failure("CERT_NOT_YET_VALID", "certificate is not yet valid");
  return undefined;
}

function parse(pem: string): X509Certificate[] {
  return certificatesIn(pem).map((each) => new X509Certificate(each));
}

let roots: X509Certificate[] | undefined;

/** Returns the authorities that are trusted by default. */
function rootCertificates(): X509Certificate[] {
  return roots ??= defaultAuthorities().map((each) => new X509Certificate(each));
}
