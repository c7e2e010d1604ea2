import { aCampaign, aList, anAccount, aUser, someEmails } from "./builders.js";
import type { Mail } from "./mailbox.js";
import type { Sandbox } from "./sandbox.js";

/** Empty databases, and a mailbox that starts empty too. */
export interface Scene {
  readonly sandbox: Sandbox;
  /** What the SMTP server has accepted since this scene began. */
  mails(): Promise<Mail[]>;
}

export async function freshScene(sandbox: Sandbox): Promise<Scene> {
  await sandbox.freshDatabases();
  const before = await sandbox.smtp.count();
  return { sandbox, mails: async () => (await sandbox.smtp.mails()).slice(before) };
}

interface ListCampaign {
  readonly addresses: readonly string[] | number;
  readonly owner?: number;
  readonly subject?: string;
  readonly body?: string;
  readonly status?: string;
  readonly attachments?: string;
}

/** An owner with accounts on the plain port; returns the ids. */
export async function anOwner(sandbox: Sandbox, { accounts = 1 } = {}): Promise<{ owner: number; accounts: number[] }> {
  const owner = await aUser(sandbox);
  const ids: number[] = [];
  for (let i = 0; i < accounts; i += 1) {
    ids.push(await anAccount(sandbox, { server: { port: sandbox.smtp.plainPort }, userId: owner }));
  }
  return { owner, accounts: ids };
}

/** A running campaign to a list of its own. */
export async function aListCampaign(
  sandbox: Sandbox,
  { addresses, owner, ...rest }: ListCampaign,
): Promise<{ campaign: number; addresses: readonly string[]; list: number }> {
  const userId = owner ?? null;
  const list = await aList(sandbox, { userId });
  const all = await someEmails(sandbox, { list, addresses, userId });
  return { campaign: await aCampaign(sandbox, { list, userId, ...rest }), addresses: all, list };
}
