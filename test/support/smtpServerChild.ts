import { type SmtpServer, type SmtpServerOptions, startSmtpServer } from "./smtpServer.js";

/** What the child tells its owner: where it listens, once; the number of mails, whenever asked. */
export type FromChild = { readonly facts: Omit<SmtpServer, "mails" | "count" | "stop"> } | { readonly count: number };

await main(JSON.parse(process.argv[2] ?? "{}") as SmtpServerOptions);

async function main(options: SmtpServerOptions): Promise<void> {
  const server = await startSmtpServer(options);
  const { plainPort, starttlsPort, tlsPort, mailbox, caFile, pid } = server;
  process.on("message", () => {
    void server.count().then((count) => tell({ count }));
  });
  process.once("disconnect", () => void server.stop());
  tell({ facts: { plainPort, starttlsPort, tlsPort, mailbox, caFile, pid } });
}

function tell(message: FromChild): void {
  process.send?.(message, undefined, undefined, () => undefined); // an owner that has died needs no answer
}
