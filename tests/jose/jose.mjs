// Tokens signed by npm's jose, the library in Atlassian's own sample.
//
//   node jose.mjs sign NOW     prints { jwks, cases: [{ name, token, claims?, status }] }
//   node jose.mjs verify       reads { jwks, token, now } and prints { ok, error?, payload? }
import * as jose from 'jose';

const APP = 'ari:cloud:ecosystem::app/8db33809-1f32-48bb-8c52-5877dab48107';
const OTHER = 'ari:cloud:ecosystem::app/11111111-2222-3333-4444-555555555555';
const INSTALLATION = 'ari:cloud:ecosystem::installation/0a3a7799-53ae-4a5b-9e7e-03338980abb5';
const ISSUER = 'forge/invocation-token';
const KID = 'forge/invocation-token/jose-1';

async function sign(now) {
  const ours = await jose.generateKeyPair('RS256', { extractable: true });
  const second = await jose.generateKeyPair('RS256', { extractable: true, modulusLength: 4096 });
  const stranger = await jose.generateKeyPair('RS256', { extractable: true });
  const published = async (pair, kid) => ({
    ...(await jose.exportJWK(pair.publicKey)), kid, alg: 'RS256', use: 'sig',
  });
  const jwks = { keys: [await published(ours, KID), await published(second, 'jose-2')] };

  const claims = (changes = {}) => ({
    app: {
      id: APP,
      appVersion: '16.0.1',
      installationId: INSTALLATION,
      apiBaseUrl: 'https://api.atlassian.com/ex/confluence/d0d52620-3203-4cfa-8db5-f2587155f0dd',
      installation: { id: INSTALLATION, contexts: [{ name: 'confluence' }] },
      environment: { type: 'PRODUCTION', id: 'ari:cloud:ecosystem::environment/x/y' },
      module: { type: 'core:endpoint', key: 'tick' },
    },
    aud: APP, iss: ISSUER, iat: now, nbf: now, exp: now + 25, jti: crypto.randomUUID(),
    ...changes,
  });
  const jwt = (payload, { key = ours.privateKey, ...header } = {}) =>
    new jose.SignJWT(payload).setProtectedHeader({ alg: 'RS256', kid: KID, ...header }).sign(key);
  // The same key under a different algorithm.
  const as = async (alg) => jose.importJWK(await jose.exportJWK(ours.privateKey), alg);
  const secret = (text) => new TextEncoder().encode(text);

  const cases = [];
  const good = async (name, payload, header) =>
    cases.push({ name, status: 200, claims: payload, token: await jwt(payload, header) });
  const bad = (name, token) => cases.push({ name, status: 401, token });

  await good('as Atlassian signs it', claims());
  await good('with typ', claims(), { typ: 'JWT' });
  await good('with a list of audiences', claims({ aud: [OTHER, APP] }));
  await good('with the second key of 4096 bits', claims(), { key: second.privateKey, kid: 'jose-2' });
  await good('with an unknown member', claims(), { 'x-forge': { a: ['ü'] } });
  await good('without iat, nbf and jti', claims({ iat: undefined, nbf: undefined, jti: undefined }));

  bad('a stranger', await jwt(claims(), { key: stranger.privateKey }));
  bad('a stranger by its own kid', await jwt(claims(), { key: stranger.privateKey, kid: 'stranger' }));
  bad('a stranger with its key in the header', await jwt(claims(), {
    key: stranger.privateKey, jwk: await jose.exportJWK(stranger.publicKey),
  }));
  bad('another published kid', await jwt(claims(), { kid: 'jose-2' }));
  bad('no kid', await jwt(claims(), { kid: undefined }));
  bad('unsecured', new jose.UnsecuredJWT(claims()).encode());
  for (const alg of ['RS384', 'RS512', 'PS256', 'PS384', 'PS512']) {
    bad(`${alg} by the published key`, await jwt(claims(), { key: await as(alg), alg }));
  }
  const spki = await jose.exportSPKI(ours.publicKey);
  for (const [name, text] of [['PEM', spki], ['PEM, trimmed', spki.trim()], ['JWK', JSON.stringify(jwks.keys[0])], ['n', jwks.keys[0].n]]) {
    bad(`HS256 with the public key's ${name}`, await jwt(claims(), { key: secret(text), alg: 'HS256' }));
  }
  bad('HS256 with a weak secret', await jwt(claims(), { key: secret('secret-secret-secret-secret-secret'), alg: 'HS256' }));
  for (const alg of ['ES256', 'ES384', 'EdDSA']) {
    const pair = await jose.generateKeyPair(alg);
    bad(`${alg} by a stranger`, await jwt(claims(), { key: pair.privateKey, alg }));
  }
  bad('expired', await jwt(claims({ iat: now - 26, nbf: now - 26, exp: now - 1 })));
  bad('not yet valid', await jwt(claims({ nbf: now + 20 })));
  bad('another app', await jwt(claims({ aud: OTHER })));
  bad('another issuer', await jwt(claims({ iss: 'https://attacker.example' })));
  bad('no expiry', await jwt(claims({ exp: undefined })));
  bad('another endpoint', await jwt(claims({ app: { ...claims().app, module: { type: 'core:endpoint', key: 'ui' } } })));
  bad('a user', await jwt(claims({ principal: 'somebody' })));
  const bytes = secret(JSON.stringify(claims()));
  const compact = (header, payload = bytes) =>
    new jose.CompactSign(payload).setProtectedHeader({ alg: 'RS256', kid: KID, ...header });
  bad('a critical extension', await compact({ crit: ['x'], x: 1 }).sign(ours.privateKey, { crit: { x: true } }));
  bad('a logout token', await jwt(claims(), { typ: 'logout+jwt' }));
  bad('nested', await compact({ cty: 'JWT' }, secret(await jwt(claims()))).sign(ours.privateKey));
  const flattened = await new jose.FlattenedSign(bytes).setProtectedHeader({ alg: 'RS256', kid: KID }).sign(ours.privateKey);
  bad('flattened JSON', JSON.stringify(flattened));
  const unencoded = await new jose.FlattenedSign(bytes)
    .setProtectedHeader({ alg: 'RS256', kid: KID, b64: false, crit: ['b64'] }).sign(ours.privateKey);
  bad('an unencoded payload', `${unencoded.protected}.${jose.base64url.encode(bytes)}.${unencoded.signature}`);
  const oaep = await jose.importJWK(await jose.exportJWK(ours.publicKey), 'RSA-OAEP-256');
  bad('encrypted to the published key', await new jose.EncryptJWT(claims())
    .setProtectedHeader({ alg: 'RSA-OAEP-256', enc: 'A256GCM', kid: KID }).encrypt(oaep));
  bad('encrypted with a password', await new jose.CompactEncrypt(bytes)
    .setProtectedHeader({ alg: 'PBES2-HS256+A128KW', enc: 'A128GCM' })
    .setKeyManagementParameters({ p2c: 1000 }).encrypt(secret('password')));
  const token = await jwt(claims());
  bad('a changed signature', token.slice(0, -4) + (token.endsWith('AAAA') ? 'BBBA' : 'AAAA'));
  const [header, , signature] = token.split('.');
  bad('a changed payload', `${header}.${jose.base64url.encode(secret(JSON.stringify(claims({ jti: 'x' }))))}.${signature}`);

  return { jwks, cases };
}

async function verify() {
  const chunks = [];
  for await (const chunk of process.stdin) chunks.push(chunk);
  const { jwks, token, now } = JSON.parse(Buffer.concat(chunks).toString());
  try {
    const { payload } = await jose.jwtVerify(token, jose.createLocalJWKSet(jwks), {
      audience: APP, issuer: ISSUER, algorithms: ['RS256'], currentDate: new Date(now * 1000),
    });
    return { ok: true, payload };
  } catch (error) {
    return { ok: false, error: error.code ?? String(error) };
  }
}

const [command, argument] = process.argv.slice(2);
const result = command === 'sign' ? await sign(Number(argument)) : await verify();
console.log(JSON.stringify(result));
