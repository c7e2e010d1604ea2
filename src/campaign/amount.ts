/** The largest amount whose hundredths a double still holds exactly. */
const MAX_AMOUNT = 1e13;

/**
 * The number that a sheet's cell means, or null when it means none: "1,200", "₹ 1,20,000.50" and "Rs. 99" are amounts,
 * "on request" and "12,50" are not (a comma groups thousands here; guessing a decimal comma would print a wrong sum).
 */
export function parseAmount(text: string): number | null {
  const bare = text
    .trim()
    .replace(/^(?:rs\.?|inr|usd|eur|[₹$€£])\s*/i, "")
    .replace(/\s*\/-$/, "");
  if (!/^-?(?:\d{1,3}(?:,\d{2,3})*,\d{3}|\d{1,15})(?:\.\d{1,9})?$/.test(bare)) return null;
  const amount = Number(bare.replaceAll(",", ""));
  return Math.abs(amount) <= MAX_AMOUNT ? amount : null;
}

/** An amount with two decimals and no grouping, as the web application prints it. */
export function formatAmount(amount: number): string {
  return (Math.round(amount * 100) / 100).toFixed(2);
}
