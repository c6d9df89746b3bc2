import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
/** Where `make test` installs what tools/package.json names. */
const modules = here("../../target/browser-tools/node_modules/");
const tsc = join(modules, "typescript/bin/tsc");
const missing = !existsSync(tsc) && !process.env.CI && "typescript is not installed: make test does it";

const folder = mkdtempSync(join(tmpdir(), "guildstream-types-"));
after(() => rmSync(folder, { recursive: true }));

function compile(name, files, paths) {
  const project = join(folder, `${name}.json`);
  const guildstream = [here("../guildstream.d.ts")];
  const options = { strict: true, noEmit: true, module: "nodenext", target: "es2022", lib: ["es2022", "dom"], types: [], jsx: "react-jsx" };
  writeFileSync(project, JSON.stringify({ compilerOptions: { ...options, paths: { guildstream, ...paths } }, files: files.map(here) }));
  try {
    execFileSync(process.execPath, [tsc, "-p", project], { encoding: "utf8", stdio: "pipe" });
  } catch (error) {
    assert.fail(error.stdout || String(error));
  }
}

test("the types fit a caller who has no discord-api-types", { skip: missing }, () => {
  compile("alone", ["./types/usage.ts"], {});
});

test("the types follow discord-api-types where it is installed", { skip: missing }, () => {
  const discord = { "discord-api-types/v10": [join(modules, "discord-api-types/v10.d.ts")] };
  compile("discord", ["./types/usage.ts", "./types/with-discord-api-types.ts"], discord);
});

test("the React example compiles", { skip: missing }, () => {
  const react = { react: [join(modules, "@types/react/index.d.ts")], "react/*": [join(modules, "@types/react/*.d.ts")] };
  compile("react", ["../examples/useVoiceChannels.tsx"], react);
});
