#!/usr/bin/env node
// forge-oracle: run Atlassian's own manifest validation, offline, on app directories.
//
//   node forge-oracle.mjs [--no-source] [--require-source] [--verbose] DIR [DIR...]
//
// One line per finding:   LEVEL line:col message
//   LEVEL is ERROR, WARNING, APPROVAL or CRASH. With several DIRs each finding line is
//   preceded by a line "== DIR", and with any number of DIRs nothing else goes to stdout.
// Exit status: 0 no error; 1 at least one ERROR/APPROVAL; 2 a validator crashed (so there is
//   no verdict) or the oracle could not run; 64 bad usage. 2 beats 1.
//
// It needs @forge/manifest, and tslib, which that package uses without declaring it (found beside
// this file, in the working directory, or in the node_modules folder named by
// FORGE_ORACLE_MODULES). If @forge/lint is found too, its source-file linters run as well; without
// it only the manifest is judged (which is all there is to judge in an app whose modules use only
// endpoints). The packages are Atlassian's and under Atlassian's developer terms: install them
// from npm, do not vendor them.
//
// The steps of `forge lint` (= the gate of `forge deploy`), and those done here:
//   1. precondition: BASIC validation of manifest.yml                     -> done
//   2. manifest linters, client side: FULL, PRODUCT_TRIGGER, AGENT_PRODUCT_CONTEXT,
//      DEPRECATED_CSP_METHOD, DEPRECATED_EGRESS_PERMISSIONS               -> done
//      (each linter keeps only its own share of the findings; `owns` below)
//   3. source linters over ./src and UI Kit resources: handlers, invokeRemote keys, storage,
//      Frame, LLM, deprecated API, timeouts, SDK permissions ...          -> done with @forge/lint,
//      except for the scope check of product REST calls in the source, which reads OpenAPI files
//      from developer.atlassian.com: here it gets empty ones and so finds nothing (set
//      USE_LOCAL_SWAGGER and the six LOCAL_*_SWAGGER files to run it).
//   4. server-side linter: uploads the manifest and asks Atlassian for a pre-deployment check
//      (what it checks is not in the packages)                           -> NOT possible offline
//   5. the list of deprecated runtimes comes from a remote feature flag   -> NOT possible offline;
//      empty unless FORGE_ORACLE_DEPRECATED_RUNTIMES=a,b is set
//   6. .gitignore and tsconfig include/exclude rules for step 3           -> tsconfig only
//   7. login, app registration, environment look-up                      -> NOT possible offline
// Not part of `forge lint`, but run as well since the package ships it: FORGE_REMOTE_COMPUTE
// (a subset of FULL, so it should add nothing; a line it alone reports is marked [remote-compute]).
//
// One difference on purpose: when a validator throws, `forge lint` prints a "could not perform
// some linting actions" note, drops every finding of that linter and goes on to succeed. Here
// that is a CRASH line and exit 2.

import { createRequire } from 'node:module';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const argv = process.argv.slice(2);
const flags = new Set(argv.filter((a) => a.startsWith('--')));
const dirs = argv.filter((a) => !a.startsWith('--')).map((d) => path.resolve(d));
const KNOWN_FLAGS = ['--no-source', '--require-source', '--verbose'];
if (!dirs.length || [...flags].some((f) => !KNOWN_FLAGS.includes(f))) {
  console.error(`usage: forge-oracle.mjs [${KNOWN_FLAGS.join('] [')}] DIR [DIR...]`);
  process.exit(64);
}

const roots = [
  process.env.FORGE_ORACLE_MODULES && path.join(process.env.FORGE_ORACLE_MODULES, '..', 'x.js'),
  fileURLToPath(import.meta.url),
  path.join(process.cwd(), 'x.js'),
].filter(Boolean);
function load(name) {
  for (const root of roots) {
    try {
      return createRequire(root)(name);
    } catch (e) {
      // Only "not there" moves on to the next place; a package that is there but lacks a dependency is an error.
      if (e.code !== 'MODULE_NOT_FOUND' || !String(e.message).startsWith(`Cannot find module '${name}'`)) throw e;
    }
  }
  return undefined;
}

let manifestPkg;
let lintPkg;
try {
  manifestPkg = load('@forge/manifest');
  if (!manifestPkg) throw new Error('@forge/manifest is not installed (npm i --ignore-scripts @forge/manifest tslib)');
  if (!flags.has('--no-source')) lintPkg = load('@forge/lint');
  if (!lintPkg && flags.has('--require-source')) throw new Error('@forge/lint is not installed');
} catch (e) {
  console.error(`forge-oracle: ${e.message.split('\n')[0]}`);
  process.exit(2);
}
const { ProcessorBuilder, ValidationTypes: V, ManifestParserBuilder } = manifestPkg;

// Every processor compiles the same 2.3 MB schema again, at 1.5 s each. Compile each schema once.
{
  const root = roots.find((r) => { try { return createRequire(r).resolve('@forge/manifest'); } catch { return false; } });
  const { default: Ajv } = createRequire(createRequire(root).resolve('@forge/manifest'))('ajv');
  const compile = Ajv.prototype.compile;
  const done = new Map();
  Ajv.prototype.compile = function (schema, ...rest) {
    const id = schema.default ?? schema; // each processor wraps the one parsed JSON file again
    if (!done.has(id)) done.set(id, compile.call(this, schema, ...rest));
    return done.get(id);
  };
}

const deprecatedRuntimes = (process.env.FORGE_ORACLE_DEPRECATED_RUNTIMES ?? '').split(',').filter(Boolean);
// Which findings each of forge lint's manifest linters reports.
const STAGES = [
  { type: V.BASIC, owns: (e) => !e.metadata },
  { type: V.FULL, owns: (e) => !e.metadata },
  { type: V.PRODUCT_TRIGGER, owns: (e) => e.metadata?.missingPermission },
  { type: V.AGENT_PRODUCT_CONTEXT, owns: (e) => e.metadata?.missingPermission },
  { type: V.DEPRECATED_CSP_METHOD, owns: (e) => e.metadata?.missingContentStylePermission },
  { type: V.DEPRECATED_EGRESS_PERMISSIONS, owns: (e) => e.metadata?.hasDeprecatedEgressPermissions },
  { type: V.FORGE_REMOTE_COMPUTE, owns: () => true, tag: '[remote-compute] ' },
];
const MANIFEST_LINTERS = /(Manifest|DeprecatedEgressPermissions)\w*Linter$/;

async function manifestFindings() {
  const out = [];
  const seen = new Set();
  for (const { type, owns, tag } of STAGES) {
    try {
      // No argument: the validators read ./manifest.yml, as in the CLI; the caller changed directory.
      const res = await ProcessorBuilder.instance().withValidation(type).withOptions({ deprecatedRuntimes }).build().process();
      for (const e of (res.errors ?? []).filter(owns)) {
        const f = { level: e.level, line: e.line ?? 0, column: e.column ?? 0, message: e.message };
        const key = JSON.stringify(f);
        if (seen.has(key)) continue;
        seen.add(key);
        out.push({ ...f, message: (tag ?? '') + f.message });
      }
      // A failed result without any finding would pass silently in forge lint; make it visible.
      if (!res.success && !(res.errors ?? []).length) {
        out.push({ level: 'crash', line: 0, column: 0, message: `${type}: failed without a message` });
      }
    } catch (e) {
      out.push({ level: 'crash', line: 0, column: 0, message: `${type}: ${e.message}` });
    }
  }
  return out;
}

function sourceFiles(dir) {
  if (!existsSync(dir) || !statSync(dir).isDirectory()) return [];
  return readdirSync(dir, { withFileTypes: true }).flatMap((d) => {
    if (d.name === 'node_modules' || d.name === '.git') return [];
    const p = path.join(dir, d.name);
    return d.isDirectory() ? sourceFiles(p) : [p];
  });
}

async function sourceFindings(yamlText) {
  const manifest = new ManifestParserBuilder().withInterpolators().build().parseManifest({ content: yamlText, filePath: 'manifest.yml' });
  const out = [];
  const logger = { info: (m) => out.push({ level: 'crash', line: 0, column: 0, message: String(m).trim() }), debug() {}, warn() {}, error() {}, trace() {} };
  const uiKitDirs = (manifest.resources ?? [])
    .filter((r) => typeof r?.path === 'string' && /\.[jt]sx?$/.test(r.path)) // UI Kit resources are single source files
    .map((r) => path.dirname(r.path));
  const files = [...new Set(['src', ...uiKitDirs].flatMap(sourceFiles))];
  const statsig = { getDeprecatedRuntimes: async () => deprecatedRuntimes };
  const linters = (await lintPkg.getClientSideLintersOnly(manifest, 'DEVELOPMENT', logger, statsig)).filter(
    (l) => !MANIFEST_LINTERS.test(l.constructor.name)
  );
  const results = await lintPkg.lint(files, manifest, 'DEVELOPMENT', logger, statsig, { linters, linter: { mode: 'client-side' } });
  for (const r of results) {
    const where = path.basename(r.file) === 'manifest.yml' ? '' : `${r.file}: `;
    for (const [level, list] of [['error', r.errors], ['warning', r.warnings], ['approval', r.approvals]]) {
      for (const e of list) out.push({ level, line: e.line ?? 0, column: e.column ?? 0, message: where + e.message });
    }
  }
  return out;
}

let stub;
if (lintPkg && !process.env.USE_LOCAL_SWAGGER) {
  stub = mkdtempSync(path.join(tmpdir(), 'forge-oracle-'));
  const file = path.join(stub, 'empty-openapi.json');
  writeFileSync(file, '{"paths":{}}');
  process.env.USE_LOCAL_SWAGGER = '1';
  for (const n of ['CONF', 'CONF_V2', 'JIRA', 'JSM', 'JSW', 'BB']) process.env[`LOCAL_${n}_SWAGGER`] = file;
}

let status = 0;
for (const dir of dirs) {
  let findings;
  try {
    process.chdir(dir);
    findings = await manifestFindings();
    if (lintPkg && existsSync('manifest.yml')) {
      try {
        findings.push(...(await sourceFindings(readFileSync('manifest.yml', 'utf8'))));
      } catch (e) {
        // The source linters trust the manifest's shape, so only report this where the manifest is fine.
        if (!findings.some((f) => f.level === 'error')) findings.push({ level: 'crash', line: 0, column: 0, message: `source linters: ${e.message}` });
      }
    }
  } catch (e) {
    findings = [{ level: 'crash', line: 0, column: 0, message: e.message }];
  }
  if (dirs.length > 1) console.log(`== ${dir}`);
  findings.sort((a, b) => a.line - b.line || a.column - b.column);
  for (const f of findings) {
    console.log(`${f.level.toUpperCase()} ${f.line}:${f.column} ${f.message.replace(/\s*\n\s*/g, ' ')}`);
    if (f.level === 'crash') status = 2;
    else if (f.level !== 'warning' && status === 0) status = 1;
  }
}
if (stub) rmSync(stub, { recursive: true, force: true });
if (flags.has('--verbose')) {
  const v = (n) => { try { return load(`${n}/package.json`)?.version; } catch { return undefined; } };
  console.error(`forge-oracle: source linters ${lintPkg ? 'on' : 'off'}; ${dirs.length} director${dirs.length === 1 ? 'y' : 'ies'}; status ${status}; @forge/lint ${v('@forge/lint') ?? '-'}`);
}
process.exitCode = status;
