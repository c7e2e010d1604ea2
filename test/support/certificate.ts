import { generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { days, systemClock } from "../../src/clock.js";

export interface ServerIdentity {
  /** The authority's certificate: what a client that verifies must trust. */
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** A throw-away authority and a certificate of it for localhost, 127.0.0.1 and ::1 (PEM, ten years, P-256). */
export function localhostIdentity(): ServerIdentity {
  const authority = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const server = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const issuer = name("campaignd sandbox CA");
  const ca = certificate(issuer, issuer, authority.publicKey, authority.privateKey, [
    extension(OID.basicConstraints, sequence(TRUE), true),
    extension(OID.keyUsage, tlv(0x03, Buffer.from([0x02, 0x04])), true), // keyCertSign
  ]);
  const cert = certificate(name("localhost"), issuer, server.publicKey, authority.privateKey, [
    extension(OID.subjectAltName, sequence(dnsName("localhost"), ipAddress([127, 0, 0, 1]), ipAddress(LOOPBACK_V6))),
    extension(OID.extKeyUsage, sequence(oid(OID.serverAuth))),
  ]);
  return { ca, cert, key: server.privateKey.export({ type: "pkcs8", format: "pem" }).toString() };
}

/** RFC 5280 §4.1, in DER: the body, its algorithm and its signature. */
function certificate(subject: Buffer, issuer: Buffer, key: KeyObject, signer: KeyObject, extensions: Buffer[]): string {
  const algorithm = sequence(oid(OID.ecdsaWithSha256));
  const now = systemClock.now();
  const validity = sequence(utcTime(now - days(1)), utcTime(now + days(3650)));
  const serial = tlv(0x02, Buffer.concat([Buffer.from([0x01]), randomBytes(15)]));
  const version3 = tlv(0xa0, tlv(0x02, Buffer.from([2])));
  const spki = key.export({ type: "spki", format: "der" });
  const rest = tlv(0xa3, sequence(...extensions));
  const body = sequence(version3, serial, algorithm, issuer, validity, subject, spki, rest);
  const der = sequence(body, algorithm, bitString(sign("sha256", body, signer)));
  const lines = der.toString("base64").match(/.{1,64}/g) ?? [];
  return ["-----BEGIN CERTIFICATE-----", ...lines, "-----END CERTIFICATE-----", ""].join("\n");
}

const OID = {
  commonName: "550403",
  keyUsage: "551d0f",
  subjectAltName: "551d11",
  basicConstraints: "551d13",
  extKeyUsage: "551d25",
  serverAuth: "2b06010505070301",
  ecdsaWithSha256: "2a8648ce3d040302",
};
const TRUE = Buffer.from([0x01, 0x01, 0xff]);
const LOOPBACK_V6 = [...new Array<number>(15).fill(0), 1];

function tlv(tag: number, content: Buffer): Buffer {
  const n = content.length;
  const length = n < 0x80 ? [n] : n < 0x100 ? [0x81, n] : [0x82, n >> 8, n & 0xff];
  return Buffer.concat([Buffer.from([tag, ...length]), content]);
}

const sequence = (...parts: Buffer[]): Buffer => tlv(0x30, Buffer.concat(parts));
const oid = (hex: string): Buffer => tlv(0x06, Buffer.from(hex, "hex"));
const bitString = (bits: Buffer): Buffer => tlv(0x03, Buffer.concat([Buffer.from([0]), bits]));
const dnsName = (host: string): Buffer => tlv(0x82, Buffer.from(host));
const ipAddress = (bytes: number[]): Buffer => tlv(0x87, Buffer.from(bytes));
const name = (cn: string): Buffer => sequence(tlv(0x31, sequence(oid(OID.commonName), tlv(0x0c, Buffer.from(cn)))));
const utcTime = (ms: number): Buffer =>
  tlv(0x17, Buffer.from(`${new Date(ms).toISOString().replaceAll(/[-:T]/g, "").slice(2, 14)}Z`));

function extension(id: string, value: Buffer, critical = false): Buffer {
  return sequence(oid(id), ...(critical ? [TRUE] : []), tlv(0x04, value));
}
