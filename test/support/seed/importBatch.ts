import type { Expectation, Fate } from "./expectation.js";
import { addressKey, scriptedFate } from "./expectation.js";
import { companyName, fullName, mailDomain, person, place } from "./names.js";
import type { Random } from "./random.js";
import { type Databases, insertRows, moment } from "./rows.js";

/** The 36 business columns of an import beside the address, in the order of the sheet. */
export const BUSINESS_COLUMNS = (
  "SlNo,CustomerID,BilledName,Company,ContactPerson,Group Name,Phone,Cell,Region,Branch,Type,Category,ProductGroup," +
  "LastProduct,UsageType,LastYear,LastLicenses,LastRegDate,DealerName,DealerEmail,DealerCell,Amount,Price,Tax,NetPrice," +
  "Edition,Days,BillNumber,BillDate,ExecutiveName,ExecutiveContact,Address,Place,Pincode,District,State"
).split(",");

const COLUMNS = [
  "import_batch_id",
  "import_filename",
  "source_file_type",
  "imported_at",
  "is_active",
  "user_id",
  "extra_data",
  "Emails",
  ...BUSINESS_COLUMNS,
];

type Sheet = Record<string, string | number | null>;

interface Batch {
  readonly id: string;
  readonly userId: number;
  readonly strangerId: number;
  readonly size: number;
  readonly now: number;
}

/** Fills an import batch as the Excel upload leaves it, and notes what must become of each address; returns who unsubscribed. */
export async function seedImportBatch(
  { s1 }: Databases,
  random: Random,
  batch: Batch,
  expectation: Expectation,
): Promise<string[]> {
  const unsubscribed: string[] = [];
  function* rows(): Generator<readonly unknown[]> {
    let previous = "";
    for (let i = 0; i < batch.size; i += 1) {
      const { first, last } = person(random);
      const fresh = `${script(random)}${first}.${last}.b${i}@${mailDomain(random)}`;
      const odd = ODD_ADDRESSES[i];
      // One customer with several invoices: the same mailbox again, in another spelling.
      const repeat = i % 83 === 82 && previous !== "";
      const address = odd?.address ?? (repeat ? capitals(previous) : fresh);
      const active = odd !== undefined || i % 61 !== 60;
      if (active) note(address, odd?.fate ?? scriptedFate(address), i);
      if (active && odd === undefined && scriptedFate(address) === "delivered") previous = address;
      yield row(batch, batch.userId, address, sheet(i, random), active, i);
    }
    for (let i = 0; i < 5; i += 1) {
      yield row(batch, batch.strangerId, `stray.b${i}@other-tenant.example`, sheet(i, random), true, i);
    }
    const other = { ...batch, id: "BATCH_20261001_101500_0b57a4de" };
    for (let i = 0; i < 20; i += 1) {
      yield row(other, batch.strangerId, `tenant.b${i}@other-tenant.example`, sheet(i, random), true, i);
    }
    // Rows without an address, as an empty line of the sheet gives.
    yield row(batch, batch.userId, null, sheet(batch.size, random), true, 0);
    yield row(batch, batch.userId, "", sheet(batch.size + 1, random), true, 0);
  }
  function note(address: string, fate: Fate, i: number): void {
    const key = addressKey(address);
    if (Object.values(expectation).some((set) => set.has(key))) return;
    if (fate === "delivered" && i % 113 === 112) {
      unsubscribed.push(capitals(address));
      expectation.suppressed.add(key);
    } else expectation[fate].add(key);
  }
  await insertRows(s1, "imported_recipients", COLUMNS, rows());
  return unsubscribed;
}

const ODD_ADDRESSES: readonly { readonly address: string; readonly fate: Fate }[] = [
  { address: "a@odd-import.example, c@odd-import.example", fate: "invalid" },
  { address: "nul\u0000byte@odd-import.example", fate: "invalid" },
  { address: "crlf@odd-import.example\r\nBcc: everyone@odd-import.example", fate: "invalid" },
  { address: " Padded.Import@Odd-Import.example  ", fate: "delivered" },
  { address: "Meera+Invoices@odd-import.example", fate: "delivered" },
  {
    address: `${"accounts.payable.".repeat(3)}x@${"regional-office-of-the-company.".repeat(4)}example`,
    fate: "delivered",
  },
];

/** Values that a mail must carry as plain words, whatever they look like. */
const ODD_VALUES: readonly Sheet[] = [
  { Company: "<b>A & B</b> Traders", BilledName: "<script>alert(1)</script>" },
  { Company: "$& Exports $1 $$", BilledName: "Back\\slash O'Neil" },
  { Company: "[[Name]] Holdings", BilledName: "Merge [[Company]] Test" },
  { Price: "on request", Amount: "N/A", Tax: null, NetPrice: null },
  { Company: "Line\r\nBcc: everyone@odd-import.example", BilledName: "Car\rReturn" },
  { Company: "Nul\u0000Byte Industries", BilledName: "Tab\tIndustries" },
  { Company: "शर्मा ट्रेडर्स", BilledName: "प्रिया शर्मा" },
  { Company: "Café Crème & Fils", BilledName: "José Núñez" },
  { Company: "Happy Sweets 🍬🎉", BilledName: "Ānanda 😀" },
  { Company: null, BilledName: "", ContactPerson: null },
  { Company: "", BilledName: null, Price: "-", Amount: "" },
  { BilledName: "Rao ".repeat(60).trim(), Address: "Plot 7, ".repeat(40) },
];

function sheet(i: number, random: Random): Sheet {
  const who = fullName(person(random));
  const company = companyName(random);
  const where = place(random);
  const price = random.between(900, 480_000) + random.pick([0, 0.5, 0.25]);
  const executive = fullName(person(random));
  const odd = i < 120 || i % 50 === 0 ? ODD_VALUES[i % ODD_VALUES.length] : undefined;
  return {
    SlNo: i + 1,
    CustomerID: random.chance(0.1) ? "" : `CUST${String(100_000 + i)}`,
    BilledName: who,
    Company: company,
    ContactPerson: random.chance(0.2) ? null : who,
    "Group Name": random.chance(0.6) ? "" : `${company} Group`,
    Phone: random.chance(0.3) ? "" : `080-${random.between(22_000_000, 29_999_999)}`,
    Cell: `+91 9${random.between(100_000_000, 999_999_999)}`,
    Region: where.region,
    Branch: where.place,
    Type: random.pick(["Renewal", "New", "Upgrade", ""]),
    Category: random.pick(["SMB", "Enterprise", "Education", null]),
    ProductGroup: random.pick(["Accounting", "Payroll", "Billing"]),
    LastProduct: random.chance(0.15) ? "" : random.pick(["Ledger Prime", "Ledger Prime Gold", "PayDay Server"]),
    UsageType: random.pick(["Single User", "Multi User", ""]),
    LastYear: String(random.between(2021, 2026)),
    LastLicenses: String(random.between(1, 25)),
    LastRegDate: date(random),
    DealerName: random.chance(0.4) ? "" : fullName(person(random)),
    DealerEmail: random.chance(0.4) ? "" : `dealer${random.between(1, 60)}@partners.example`,
    DealerCell: random.chance(0.4) ? null : `9${random.between(100_000_000, 999_999_999)}`,
    Amount: rupees(price),
    Price: random.chance(0.2) ? "" : rupees(price),
    Tax: random.chance(0.3) ? "" : rupees(price * 0.18),
    NetPrice: random.chance(0.3) ? "" : rupees(price * 1.18),
    Edition: random.pick(["Professional", "Standard", ""]),
    Days: String(random.between(-5, 180)),
    BillNumber: `INV/${random.between(25, 26)}-27/${String(i + 1).padStart(5, "0")}`,
    BillDate: date(random),
    ExecutiveName: executive,
    ExecutiveContact: `9${random.between(100_000_000, 999_999_999)}`,
    Address: `${random.between(1, 400)}, ${random.pick(["MG Road", "Station Road", "Ring Road"])}\n${where.place}`,
    Place: where.place,
    Pincode: where.pincode,
    District: random.chance(0.2) ? "" : where.district,
    State: where.state,
    ...odd,
  };
}

function row(
  batch: Batch,
  userId: number,
  address: string | null,
  values: Sheet,
  active: boolean,
  i: number,
): readonly unknown[] {
  return [
    batch.id,
    "outstanding-march.xlsx",
    "xlsx",
    moment(batch.now),
    active ? 1 : 0,
    userId,
    extraData(i),
    address,
    ...BUSINESS_COLUMNS.map((column) => values[column] ?? null),
  ];
}

function extraData(i: number): string | null {
  if (i % 7 === 0) return JSON.stringify({ "PO Number": `PO-${4500 + i}`, "Relationship Manager": "Sunita K. – पुणे" });
  if (i % 101 === 100) return "{broken json";
  return i % 5 === 0 ? "" : null;
}

function script(random: Random): string {
  const u = random.next();
  if (u < 0.015) return "550.";
  if (u < 0.025) return "greylist-1.";
  return u < 0.028 ? "data-552." : "";
}

/** "1,20,450.50" or "120,450.50": sheets hold both groupings. */
function rupees(value: number): string {
  return value.toLocaleString(Math.round(value) % 2 === 0 ? "en-IN" : "en-US", {
    minimumFractionDigits: 2,
    maximumFractionDigits: 2,
  });
}

function date(random: Random): string {
  const [day, month] = [random.between(1, 28), random.between(1, 12)].map((n) => String(n).padStart(2, "0"));
  return random.chance(0.7) ? `${day}-${month}-2026` : `2026-${month}-${day}`;
}

function capitals(address: string): string {
  return address.charAt(0).toUpperCase() + address.slice(1).replace(/\.example$/, ".Example");
}
