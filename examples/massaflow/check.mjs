/* Whether the data hang together, from the files: `npm run check`. Each problem on a line; 1 if there is any. */
import { readFileSync } from "node:fs";

import { openVault, readEnv } from "./state.mjs";

const BONDS = [["orders", "user", "users"], ["payments", "order", "orders"], ["deliveries", "order", "orders"],
  ["subscriptions", "user", "users"], ["subscriptions", "plan", "plans"], ["tickets", "user", "users"]];
const tables = {};
const problems = [];

function attempt(what, act) {
  try {
    act();
  } catch {
    problems.push(what);
  }
}

for (const name of new Set(BONDS.flatMap(([from, , to]) => [from, to]))) {
  tables[name] = [];
  attempt(`${name}: cannot be read`, () => (tables[name] = JSON.parse(readFileSync(`data/dynamic/${name}.json`, "utf8"))));
}
for (const [name, table] of Object.entries(tables)) {
  const count = Math.max(0, ...table.map((record) => record.number)); // numbers are given once, from 1 on
  if (table.length !== count) problems.push(`${name}: ${table.length} records, not ${count}`);
  if (new Set(table.map((record) => record.id)).size !== table.length) problems.push(`${name}: an id stands twice`);
}
for (const [from, field, to] of BONDS) {
  const known = new Set(tables[to].map((record) => record.number));
  const lost = tables[from].filter((record) => !known.has(record[field])).length;
  if (lost) problems.push(`${from}: ${lost} without their ${field}`);
}
attempt("vault: does not open", () => openVault(readEnv()));
if (problems.length) console.log(problems.join("\n"));
process.exit(problems.length ? 1 : 0);
