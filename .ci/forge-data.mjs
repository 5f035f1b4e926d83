// Prints Atlassian's scopes and the scopes that events need, as forge-remote keeps them:
//   node .ci/forge-data.mjs node_modules/@forge/manifest 2026-11-23 > forge-remote/src/manifest/forge-data.json
import { readFileSync } from 'node:fs';
import path from 'node:path';

const folder = process.argv[2];
const read = (name) => JSON.parse(readFileSync(path.join(folder, name), 'utf8'));
const version = read('package.json').version;
const names = (list) => list.map((one) => one.key ?? one).sort();
const scopes = names(read('out/scopes/shipyard-scopes.json'));
const events = {};
for (const { productEvent, oAuthScopes } of read('out/mapping/product-event-to-scope-mapping.json').mapping) {
  events[productEvent] = [oAuthScopes.current, oAuthScopes.beta].filter(Boolean);
}
const sorted = Object.fromEntries(Object.entries(events).sort(([a], [b]) => (a < b ? -1 : 1)));
// The modules of pages: those whose `resolver` takes an endpoint.
const schema = read('out/schema/manifest-schema.json');
const follow = (node) => {
  let at = node;
  for (let steps = 0; at?.$ref?.startsWith('#/') && steps < 20; steps += 1) {
    at = at.$ref.slice(2).split('/').reduce((value, name) => value?.[name], schema);
  }
  return at ?? {};
};
const takes = (node, names, seen = new Set()) => {
  const at = follow(node);
  if (seen.has(at)) return false;
  const below = new Set(seen).add(at);
  if (names.length === 0) return true;
  const parts = [...(at.anyOf ?? []), ...(at.oneOf ?? []), ...(at.allOf ?? []), at.items].filter(Boolean);
  if (parts.some((part) => takes(part, names, below))) return true;
  const next = at.properties?.[names[0]];
  return next !== undefined && takes(next, names.slice(1));
};
const modules = follow(schema.properties.modules).properties;
const pages = Object.keys(modules).filter((type) => takes(modules[type], ['resolver', 'endpoint'])).sort();
const lines = (entries) => entries.map((entry) => `    ${entry}`).join(',\n');
console.log(`{
  "source": "npm @forge/manifest ${version}",
  "date": ${JSON.stringify(process.argv[3])},
  "scopes": [
${lines(scopes.map((scope) => JSON.stringify(scope)))}
  ],
  "events": {
${lines(Object.entries(sorted).map(([event, sets]) => `${JSON.stringify(event)}: ${JSON.stringify(sets)}`))}
  },
  "pages": [
${lines(pages.map((type) => JSON.stringify(type)))}
  ]
}`);
