/* What MassaFlow keeps: tables in memory, an event log, a vault. See app.py, which makes them and does the same. */
import { createDecipheriv } from "node:crypto";
import { appendFileSync, closeSync, existsSync, fsyncSync, openSync, readFileSync, writeFileSync } from "node:fs";

const NAMES = ["campaigns", "coupons", "deliveries", "orders", "payments", "plans", "products", "settings",
  "subscriptions", "tickets", "users"];
const LOG = "engagement_events.log", VAULT = "data/secureVault.json";
const STRIPE = ["STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET", "NEXT_PUBLIC_STRIPE_PRICE_ID_*"];
const VAULT_NAMES = ["MASSAFLOW_VAULT_KEY", "MASSAFLOW_VAULT_IV"];
const SALT_BYTES = 16;
const fits = (name, glob) => (glob.endsWith("*") ? name.startsWith(glob.slice(0, -1)) : name === glob);
const pathOf = (name) => `data/dynamic/${name}.json`;

/** The process's environment and, for what it does not set, `.env.local`. */
export function readEnv() {
  const lines = existsSync(".env.local") ? readFileSync(".env.local", "utf8").split(/\r?\n/) : [];
  const kept = lines.filter((line) => line.includes("=") && !line.startsWith("#"))
    .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]);
  return { ...Object.fromEntries(kept), ...process.env };
}

/** What the vault holds; throws if it is none or the key is another. */
export function openVault(env) {
  const [key, vector] = VAULT_NAMES.map((name) => Buffer.from(env[name] ?? "", "hex"));
  const decipher = createDecipheriv("aes-256-cbc", key, vector);
  const sealed = Buffer.from(JSON.parse(readFileSync(VAULT, "utf8")).payload, "base64");
  const plain = Buffer.concat([decipher.update(sealed), decipher.final()]);
  return JSON.parse(plain.subarray(SALT_BYTES).toString());
}

/** Whether its key is there and opens it. */
function vaultProblems(env) {
  const missing = VAULT_NAMES.filter((name) => !env[name]).map((name) => `${name} is missing`);
  if (missing.length) return missing;
  try {
    openVault(env);
    return [];
  } catch (error) {
    return [error.code === "ENOENT" ? `${VAULT} is missing` : `${VAULT} does not open with MASSAFLOW_VAULT_KEY`];
  }
}

export class State {
  tables = new Map();
  problems = []; // what cannot be read is never written over
  changed = new Set(); // names of tables that are newer than their files
  waiting = []; // lines for the log

  constructor() {
    for (const name of NAMES) this.#read(name);
  }

  #read(name) {
    try {
      this.tables.set(name, JSON.parse(readFileSync(pathOf(name), "utf8")));
    } catch (error) {
      if (error.code !== "ENOENT" && !(error instanceof SyntaxError)) throw error;
      this.problems.push(`${pathOf(name)} is ${error.code ? "missing" : "not valid JSON"}`);
    }
  }

  /** In memory only. */
  change(name, number, fields) {
    const table = this.tables.get(name);
    table[number - 1] = { ...table[number - 1], ...fields, updatedAt: new Date().toISOString() };
    this.changed.add(name);
  }

  /** Write each table that changed, truncating it; their names. */
  save() {
    const names = [...this.changed].sort();
    for (const name of names) {
      writeFileSync(pathOf(name), JSON.stringify(this.tables.get(name), null, 2));
      this.changed.delete(name);
    }
    return names;
  }

  /** Append the lines that wait; how many. */
  writeEvents() {
    const count = this.waiting.length;
    if (count) appendFileSync(LOG, this.waiting.map((event) => JSON.stringify(event) + "\n").join(""));
    this.waiting = [];
    return count;
  }

  /** Write and sync all; says what was only in memory. */
  flush() {
    const flushed = { tables: this.save(), events: this.writeEvents() };
    for (const path of [...[...this.tables.keys()].map(pathOf), LOG].filter(existsSync)) {
      const descriptor = openSync(path, "r");
      fsyncSync(descriptor);
      closeSync(descriptor);
    }
    return flushed;
  }

  /** Well only with all tables, the payment provider's keys and a vault that opens: [body, status]. */
  health() {
    const env = readEnv();
    const given = Object.keys(env).filter((name) => env[name]);
    const missing = STRIPE.filter((glob) => !given.some((name) => fits(name, glob)));
    const problems = [...missing.map((glob) => `${glob} is missing`), ...vaultProblems(env), ...this.problems];
    return problems.length ? [{ status: "DEGRADED", problems }, 503] : [{ status: "OK" }, 200];
  }
}
