import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { clearHold, countUnknowns, NOTE_FILL, noteHold, readNotes } from "../../src/db/campaignNotes.js";
import { fenced } from "../../src/db/fence.js";
import { type Sandbox, startSandbox } from "../support/sandbox.js";
import { lead, type Setup, setup } from "./setup.js";

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

describe("the notes on a campaign", () => {
  const noteFill = (epoch: number, cursor: number, done: 0 | 1) =>
    t.crm.packet("fill", [[NOTE_FILL, [3, "list:4", cursor, done, ...fenced(epoch)]]], ([r]) => r?.affected);

  it("are empty before the first one", async () => {
    expect(await readNotes(t.crm, 3)).toEqual({ fillSource: "", fillCursor: 0, filled: false });
  });

  it("keep the cursor of the fill, and its end", async () => {
    const epoch = await lead(t.crm);
    await noteFill(epoch, 500, 0);
    expect(await readNotes(t.crm, 3)).toEqual({ fillSource: "list:4", fillCursor: 500, filled: false });
    await noteFill(epoch, 0, 1);
    expect(await readNotes(t.crm, 3)).toMatchObject({ filled: true });
  });

  it("take no cursor from a former leader", async () => {
    const epoch = await lead(t.crm);
    await lead(t.crm);
    expect(await noteFill(epoch, 500, 0)).toBe(0);
    expect(await readNotes(t.crm, 3)).toMatchObject({ fillCursor: 0 });
  });

  it("name the reason of a hold until it is cleared, and leave the cursor alone", async () => {
    const epoch = await lead(t.crm);
    await noteFill(epoch, 500, 0);
    await noteHold(t.crm, 3, "the template is missing ".repeat(100));
    const [held] = await t.s2<{ hold_reason: string }>("SELECT hold_reason FROM campaignd_campaign");
    expect(held?.hold_reason).toHaveLength(500);
    await clearHold(t.crm, epoch - 1, 3);
    expect(await t.s2("SELECT hold_reason IS NULL AS cleared FROM campaignd_campaign")).toEqual([{ cleared: 0 }]);
    await clearHold(t.crm, epoch, 3);
    expect(await t.s2("SELECT hold_reason, held_at, fill_cursor FROM campaignd_campaign")).toEqual([
      { hold_reason: null, held_at: null, fill_cursor: 500 },
    ]);
  });

  it("count the unknowns that nobody has answered", async () => {
    const row = (id: number, campaign: number, answer: string) =>
      t.s2(`INSERT INTO campaignd_unknown VALUES (${id}, ${campaign}, '', NULL, UTC_TIMESTAMP(), 'lost', ${answer})`);
    await row(1, 3, "NULL");
    await row(2, 3, "'sent'");
    await row(3, 4, "NULL");
    expect(await countUnknowns(t.crm, 3)).toBe(1);
  });
});
