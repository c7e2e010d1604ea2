/** Why a mail was not taken, when it is the mail's or its recipient's doing. */
export type MailClass = "recipient" | "mailbox" | "greylist" | "content" | "size" | "temporary" | "address";

/** Why nothing could be sent, when it is the account's, the host's or the network's doing; never charged to the mail. */
export type FaultClass = "auth" | "tls" | "dns" | "connect" | "timeout" | "rate" | "sender" | "protocol";

/**
 * What a server made of one mail.
 * - `accepted`: a 2yz after the final dot
 * - `deferred`: a 4yz about this mail; `rejected`: a 5yz about this mail
 * - `refused`: account, login, TLS, DNS, connection or rate; not the mail's fault; `lasting` when no short rest mends it
 * - `withheld`: our own gate stayed shut; nothing was sent
 * - `unknown`: the final dot may be out and no reply came
 */
export type Verdict =
  | { readonly kind: "accepted"; readonly reply: string }
  | { readonly kind: "deferred"; readonly class: MailClass; readonly reply: string }
  | { readonly kind: "rejected"; readonly class: MailClass; readonly reply: string }
  | { readonly kind: "refused"; readonly class: FaultClass; readonly lasting: boolean; readonly reply: string }
  | { readonly kind: "withheld"; readonly reason: string }
  | { readonly kind: "unknown"; readonly why: string };

/** How far a mail had come when something happened; from `dot` on the server may have it. */
export type Phase = "connect" | "login" | "envelope" | "body" | "dot";
