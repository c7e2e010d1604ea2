import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { recipientPage, recipientRows, type Source } from "../../src/db/recipients.js";
import { bounced, excludedAccounts, excludedDomains, unsubscribed } from "../../src/db/suppression.js";
import { aList, anImport, anUnsubscriber, someEmails } from "../support/builders.js";
import { type Sandbox, startSandbox } from "../support/sandbox.js";
import { type Setup, setup } from "./setup.js";

let sandbox: Sandbox;
let t: Setup;
beforeAll(async () => {
  sandbox = await startSandbox();
});
beforeEach(async () => {
  t = await setup(sandbox);
  return () => t.end();
});
afterAll(() => sandbox.stop());

/** All addresses of a source, page by page, and how many pages that took. */
async function everyone(source: Source, owner: number | undefined, limit: number) {
  const addresses: string[] = [];
  let pages = 0;
  for (let cursor: number | undefined = 0; cursor !== undefined; pages += 1) {
    const page = await recipientPage(t.emailId, source, owner, cursor, limit);
    expect(page.rows.length).toBeLessThanOrEqual(limit);
    addresses.push(...page.rows.map((row) => row.address));
    cursor = page.cursor;
  }
  return { addresses, pages };
}

const named = (name: string, n: number) => Array.from({ length: n }, (_, i) => `${name}${i}@recipients.example`);

describe("the pages of a list", () => {
  it("hold its valid addresses in order, whoever's lie between them", async () => {
    const [list, other] = [await aList(t), await aList(t)];
    const mine = named("a", 7);
    for (const address of mine) {
      await someEmails(t, { list, addresses: [address] });
      await someEmails(t, { list: other, addresses: 3 });
    }
    for (const limit of [1, 2, 3, 7, 8, 100]) {
      expect((await everyone({ kind: "list", listId: list }, undefined, limit)).addresses).toEqual(mine);
    }
  });

  it("leave out what is not valid or not the owner's", async () => {
    const list = await aList(t);
    await someEmails(t, { list, addresses: ["ok@x.example"], userId: 7 });
    await someEmails(t, { list, addresses: ["theirs@x.example"], userId: 8 });
    await someEmails(t, { list, addresses: ["undeliverable@x.example"], userId: 7, domainStatus: 0 });
    await someEmails(t, { list, addresses: ["later@x.example"], userId: 7, domainStatus: 2 });
    await someEmails(t, { list, addresses: ["unchecked@x.example"], userId: 7, validationStatus: null });
    await someEmails(t, { list, addresses: ["disposable@x.example"], userId: 7, validationStatus: "disposable" });
    expect((await everyone({ kind: "list", listId: list }, 7, 10)).addresses).toEqual(["ok@x.example"]);
    expect((await everyone({ kind: "list", listId: list }, undefined, 10)).addresses).toHaveLength(2);
  });

  it("jump over what lies between, however far, instead of reading it", async () => {
    const [list, other] = [await aList(t), await aList(t)];
    const mine = named("a", 4);
    await someEmails(t, { list, addresses: mine.slice(0, 2) });
    await someEmails(t, { list: other, addresses: 1000 });
    await t.s1("ALTER TABLE emails AUTO_INCREMENT = 4000000");
    await someEmails(t, { list, addresses: mine.slice(2) });
    const { addresses, pages } = await everyone({ kind: "list", listId: list }, undefined, 10);
    expect(addresses).toEqual(mine);
    expect(pages).toBeLessThanOrEqual(4);
  });

  it("end at once for an empty list", async () => {
    expect(await recipientPage(t.emailId, { kind: "list", listId: 99 }, undefined, 0, 10)).toEqual({
      rows: [],
      cursor: undefined,
    });
  });
});

describe("the pages of other sources", () => {
  it("hold the active rows of an import batch", async () => {
    await anImport(t, { batch: "B1", address: "a@x.example", userId: 7 });
    await anImport(t, { batch: "B2", address: "b@x.example", userId: 7 });
    await anImport(t, { batch: "B1", address: "c@x.example", userId: 7, active: false });
    await anImport(t, { batch: "B1", address: "d@x.example", userId: 8 });
    await anImport(t, { batch: "B1", address: null, userId: 7 });
    const source: Source = { kind: "import", batchId: "B1" };
    expect((await everyone(source, undefined, 2)).addresses).toEqual(["a@x.example", "d@x.example", ""]);
    expect((await everyone(source, 7, 2)).addresses).toEqual(["a@x.example", ""]);
  });

  it("hold every valid address of an owner, on a list or not", async () => {
    const list = await aList(t);
    await someEmails(t, { list, addresses: ["a@x.example"], userId: 7 });
    await someEmails(t, { addresses: ["b@x.example"], userId: 7 });
    await someEmails(t, { addresses: ["c@x.example"], userId: 8 });
    await someEmails(t, { addresses: ["d@x.example"], userId: 7, domainStatus: 0 });
    expect((await everyone({ kind: "all" }, 7, 1)).addresses).toEqual(["a@x.example", "b@x.example"]);
    expect((await everyone({ kind: "all" }, undefined, 10)).addresses).toHaveLength(3);
  });
});

describe("what is known of recipients", () => {
  it("comes from their own source, the first row of an address first, whatever its case", async () => {
    await anImport(t, { batch: "B1", address: "a@x.example", columns: { BilledName: "First" } });
    await anImport(t, { batch: "B1", address: "A@x.example", columns: { BilledName: "Second" } });
    await anImport(t, { batch: "B1", address: "b@x.example", columns: { BilledName: "Off" }, active: false });
    await anImport(t, { batch: "B2", address: "a@x.example", columns: { BilledName: "Elsewhere" } });
    const rows = await recipientRows(t.emailId, { kind: "import", batchId: "B1" }, ["a@x.example", "b@x.example"]);
    expect(rows.map(({ row }) => row.BilledName)).toEqual(["First", "Second"]);
  });

  it("comes from one list, or from all of them", async () => {
    const [list, other] = [await aList(t), await aList(t)];
    await someEmails(t, { list: other, addresses: ["a@x.example"] });
    await someEmails(t, { list, addresses: ["a@x.example"] });
    const from = async (source: Source) =>
      (await recipientRows(t.emailId, source, ["A@X.example"])).map(({ row }) => row.csv_list_id);
    expect(await from({ kind: "list", listId: list })).toEqual([list]);
    expect(await from({ kind: "all" })).toEqual([other, list]);
  });

  it("is nothing, without a statement, for nobody", async () => {
    expect(await recipientRows(t.emailId, { kind: "all" }, [])).toEqual([]);
  });
});

describe("suppression", () => {
  it("knows who unsubscribed, in lower case, of those that are asked about", async () => {
    await anUnsubscriber(t, { email: "Gone@X.example" });
    await anUnsubscriber(t, { email: "other@x.example" });
    expect(await unsubscribed(t.emailId, ["gone@x.example", "here@x.example"])).toEqual(new Set(["gone@x.example"]));
    expect(await unsubscribed(t.emailId, [])).toEqual(new Set());
  });

  it("knows bounced addresses, excluded domains and excluded local parts", async () => {
    await t.s1("INSERT INTO bounced_emails (email) VALUES ('Dead@x.example')");
    await t.s1("INSERT INTO exclude_domains (domain) VALUES (' Rival.example ')");
    await t.s1("INSERT INTO exclude_accounts (account) VALUES ('Postmaster')");
    expect(await bounced(t.emailId, ["dead@x.example"])).toEqual(new Set(["dead@x.example"]));
    expect(await excludedDomains(t.emailId)).toEqual(new Set(["rival.example"]));
    expect(await excludedAccounts(t.emailId)).toEqual(new Set(["postmaster"]));
  });
});
