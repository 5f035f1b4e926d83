// A second verifier for the vectors: npm's jose, and the rules of Forge beyond a JWT library.
//
//   node vectors.mjs FILE      prints { checked, disagreements: ["class: name: …"] }
//
// It is also the shortest complete verifier: a remote in another language needs the same rules.
import { readFileSync } from 'node:fs';
import * as jose from 'jose';

const file = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const { now, audience, issuer } = file;
const keySet = jose.createLocalJWKSet(file.keySet);

const MAX_TOKEN = 64 * 1024;
const MAX_DEPTH = 100;
const MAX_SKEW = 10;
const MAX_LIFETIME = 3600;
// Header members that change how a token is parsed, or contain a key.
const FORBIDDEN = ['crit', 'b64', 'zip', 'cty', 'enc', 'jwk', 'jku', 'x5u', 'x5c', 'x5t', 'x5t#S256', 'p2c'];

const fail = (reason) => { throw new Error(reason); };
const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
const isText = (value) => typeof value === 'string' && value.isWellFormed();

// One header `Authorization: Bearer TOKEN`, with one space.
function tokenOf(headers) {
  const values = headers.filter(([name]) => name.toLowerCase() === 'authorization').map(([, value]) => value);
  if (values.length !== 1) fail('not one Authorization header');
  const value = values[0].replace(/^[ \t]+|[ \t]+$/g, '');
  const found = /^bearer ([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)$/i.exec(value);
  if (!found || found[1].length > MAX_TOKEN) fail('not Bearer and one compact token');
  return found[1];
}

// base64url without padding and without surplus bits, of JSON in UTF-8 without a byte order mark.
function jsonOf(part) {
  const bytes = Buffer.from(part, 'base64url');
  if (bytes.toString('base64url') !== part) fail('not canonical base64url');
  const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  checkMembers(text);
  const value = JSON.parse(text);
  return isObject(value) ? value : fail('not a JSON object');
}

// JSON.parse accepts duplicate members, any depth, and numbers that are too large for a 64-bit float.
function checkMembers(text) {
  const open = [];
  const tokens = /"(?:[^"\\]|\\.)*"|[{}[\],:]|-?[0-9][0-9.eE+-]*/gs;
  let isName = false;
  for (const [token] of text.matchAll(tokens)) {
    const top = open.at(-1);
    if (token === '{' || token === '[') {
      open.push(token === '{' ? new Set() : null);
      if (open.length > MAX_DEPTH) fail('too deep');
      isName = token === '{';
    } else if (token === '}' || token === ']') {
      open.pop();
      isName = false;
    } else if (token === ',') {
      isName = top instanceof Set;
    } else if (token === ':') {
      isName = false;
    } else if (isName && token[0] === '"') {
      const name = JSON.parse(token);
      if (top.has(name)) fail('a member twice');
      top.add(name);
    }
  }
}

// Numbers in these claims must fit into a 64-bit float: a later parser could not read them.
function checkNumbers(value) {
  if (typeof value === 'number' && !Number.isFinite(value)) fail('a number that is too large');
  if (typeof value === 'object' && value !== null) Object.values(value).forEach(checkNumbers);
}

function checkHeader(header) {
  if (header.alg !== 'RS256') fail('not RS256');
  if (FORBIDDEN.some((name) => Object.hasOwn(header, name))) fail('a forbidden header member');
  if (header.typ !== undefined && !(typeof header.typ === 'string' && header.typ.toLowerCase() === 'jwt')) fail('typ is not JWT');
  if (!isText(header.kid) || header.kid === '' || Buffer.byteLength(header.kid) > 256) fail('no kid');
}

function checkClaims(claims, handler) {
  const { app } = claims;
  for (const name of ['iat', 'nbf']) {
    const date = claims[name];
    if (date === undefined || date === null) continue;
    if (!Number.isFinite(date) || date < 0 || date > now + MAX_SKEW) fail(`${name} is in the future`);
  }
  // The expiry has no tolerance, and no FIT is valid for more than an hour.
  if (!Number.isFinite(claims.exp) || claims.exp <= now || claims.exp > now + MAX_LIFETIME) fail('exp');
  if (claims.iss !== issuer) fail('iss');
  const audiences = Array.isArray(claims.aud) ? claims.aud : [claims.aud];
  if (!audiences.every(isText) || !audiences.includes(audience)) fail('aud');
  if (!isObject(app) || app.id !== audience) fail('app.id is not the audience');
  for (const name of ['installation', 'environment', 'module']) {
    if (app[name] !== undefined && app[name] !== null && !isObject(app[name])) fail(`app.${name}`);
  }
  const ids = [app.installationId, app.installation?.id].filter((id) => id !== undefined && id !== null);
  if (ids.length === 0 || ids[0] !== ids.at(-1) || !/^ari:[!-~]{1,508}$/.test(ids[0]) || !ids.every(isText)) fail('installation');
  const principal = claims.principal ?? null;
  if (principal !== null && !isText(principal)) fail('principal');
  for (const text of [claims.jti, claims.icLabel, app.apiBaseUrl, app.module?.type, app.module?.key, app.environment?.type]) {
    if (text !== undefined && text !== null && !isText(text)) fail('a claim of another type');
  }
  checkNumbers(claims.context);
  checkEndpoint(app.module ?? {}, principal, handler);
}

// A FIT contains no path, so the calling module is compared with the handler.
function checkEndpoint(module, principal, handler) {
  const isPlatform = module.type === 'core:endpoint';
  if (handler.caller === 'platform') {
    if (principal !== null) fail('a user calls what only the platform calls');
    if (!isPlatform && module.type !== handler.moduleType) fail('a page calls what only the platform calls');
  }
  const isNamed = isPlatform || (handler.caller === 'platform' && module.type === handler.moduleType);
  if (isNamed && !handler.keys.includes(module.key)) fail("another endpoint's token");
}

async function verify({ target, headers }) {
  const handler = file.handlers[/^\/[a-z]+/.exec(target)?.[0]] ?? fail('no handler');
  const token = tokenOf(headers);
  const [header, payload, signature] = token.split('.');
  checkHeader(jsonOf(header));
  if (Buffer.from(signature, 'base64url').toString('base64url') !== signature) fail('not canonical base64url');
  await jose.jwtVerify(token, keySet, {
    audience, issuer, algorithms: ['RS256'], currentDate: new Date(now * 1000), clockTolerance: MAX_SKEW,
  });
  checkClaims(jsonOf(payload), handler);
}

const disagreements = [];
for (const vector of file.vectors) {
  let verdict = 'accept';
  let reason = '';
  try {
    await verify(vector);
  } catch (error) {
    verdict = 'reject';
    reason = error.message;
  }
  if (verdict !== vector.verdict) {
    disagreements.push(`${vector.class}: ${vector.name}: ${verdict} ${reason}, expected ${vector.verdict} ${vector.reason ?? ''}`);
  }
}
console.log(JSON.stringify({ checked: file.vectors.length, disagreements }));
