import type { Database } from "../../src/db/database.js";
import type { Part, Statement, Value } from "../../src/db/statement.js";

/** A database that notes every statement with its values, and really runs it. */
export interface Recorder {
  readonly db: Database;
  readonly parts: readonly Part[];
}

export function recording(db: Database): Recorder {
  const parts: Part[] = [];
  const note = (statement: Statement, values: readonly Value[] = []) => parts.push([statement, values]);
  const rows: Database["rows"] = (statement, values) => {
    note(statement, values);
    return db.rows(statement, values);
  };
  const run: Database["run"] = (statement, values) => {
    note(statement, values);
    return db.run(statement, values);
  };
  const packet: Database["packet"] = (name, packed, check) => {
    parts.push(...packed);
    return db.packet(name, packed, check);
  };
  const transaction: Database["transaction"] = (name, work) =>
    db.transaction(name, (inner) =>
      work((statement, values) => {
        note(statement, values);
        return inner(statement, values);
      }),
    );
  const noted = { rows, run, packet, transaction };
  const proxy = new Proxy(db, {
    get: (target, key) => (key in noted ? noted[key as keyof typeof noted] : Reflect.get(target, key, target)),
  });
  return { db: proxy, parts };
}
