import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatAmount, parseAmount } from "../../src/campaign/amount.js";
import { lookup, recipientFields } from "../../src/campaign/fields.js";

const now = { epochMs: Date.UTC(2026, 10, 24, 6), zone: "Asia/Kolkata" };

/** What a placeholder says for an import's row. */
function imported(row: Record<string, unknown>, placeholder: string, defaults: Record<string, string> = {}): string {
  return lookup(recipientFields(row, "import", { defaults, now }), placeholder);
}

describe("lookup", () => {
  test.each([
    ["its own column, whatever the case", { LastYear: "2024" }, "LASTYEAR", "2024"],
    ["an alias where the column is empty", { City: "", Place: "Pune" }, "City", "Pune"],
    ["the first alias that is not empty", { BillNumber: "", invoice_number: "7" }, "InvoiceNumber", "7"],
    ["a product by its last name first", { LastProduct: "", ProductGroup: "Tools", Category: "C" }, "Product", "Tools"],
    ["a product by its category at last", { Category: "C" }, "Product", "C"],
    ["a contact by the executive's first", { ExecutiveContact: "1", Phone: "2" }, "Contact", "1"],
    ["the date of the bill", { BillDate: "", LastRegDate: "2020" }, "Date", "2020"],
    ["today where no date is known", {}, "Date", "November 24th, 2026"],
    ["a column whose name contains the placeholder", { "Shop Number": "9" }, "Number", "9"],
    ["a column whose name the placeholder contains", { Branch: "East" }, "BranchOffice", "East"],
    ["nothing by a column of three letters", { Fax: "1" }, "FaxNumber", ""],
    ["nothing where no column is alike", { Phone: "1" }, "Zzz", ""],
    ["nothing for an empty placeholder", { Phone: "1" }, "", ""],
    ["nothing for blanks", { "Group Name": "1" }, " ", ""],
    ["the group by its name with a blank", { "Group Name": "G" }, "group name", "G"],
    ["no hidden column", { SlNo: 4, validation_status: "valid", import_batch_id: "B" }, "validation_status", ""],
    ["a column of the sheet that has no place of its own", { extra_data: '{"Colour":"red"}' }, "colour", "red"],
    ["the sheet's column rather than the table's", { Phone: "1", extra_data: '{"Phone":"2"}' }, "Phone", "2"],
    ["a number and a truth of the sheet", { extra_data: '{"n":4.5,"t":true}' }, "n", "4.5"],
    ["no object of the sheet", { extra_data: '{"thing":{"a":1}}' }, "thing", ""],
    ["the columns where extra_data is broken", { Phone: "1", extra_data: '{"Phone":' }, "Phone", "1"],
    ["the columns where extra_data is a list", { Phone: "1", extra_data: "[1]" }, "Phone", "1"],
    ["nothing by the name of a prototype", { extra_data: '{"__proto__":{"x":"1"}}' }, "constructor", ""],
    ["a name out of BilledName", { BilledName: "Bo", extra_data: '{"Name":"Al"}' }, "Name", "Bo"],
    ["an address out of Emails", { Emails: "a@b.c", extra_data: '{"Email":"x@y.z"}' }, "Email", "a@b.c"],
    ["a company as it stands", { Company: "C", "Group Name": "G" }, "Company", "C"],
    ["a company by its group", { Company: null, "Group Name": "G", BilledName: "B" }, "Company", "G"],
    ["a company by its name", { Company: null, "Group Name": null, BilledName: "B" }, "Company", "B"],
    ["Price out of Amount", { Amount: "50" }, "Price", "50"],
    ["a price with grouping", { Price: "1,200" }, "Tax", "216.00"],
    ["the sum of price and tax", { Price: "1,200" }, "NetPrice", "1416.00"],
    ["the sum with its own tax", { Price: "100", Tax: "5" }, "NetPrice", "105.00"],
    ["no tax on what is no number", { Price: "on request" }, "Tax", ""],
    ["the price for a sum that cannot be made", { Price: "on request" }, "NetPrice", "on request"],
    ["a district out of the region", { Region: "West", Place: "Pune" }, "District", "West"],
    ["a dealer out of the executive", { ExecutiveName: "E" }, "DealerName", "E"],
    ["a dealer's phone out of the executive's", { ExecutiveContact: "99" }, "DealerCell", "99"],
    ["a customer's id out of the row's", { id: 42 }, "CustomerID", "CUST000042"],
    ["the customer's id that there is", { id: 42, CustomerID: "K1" }, "CustomerID", "K1"],
    ["an edition that nobody gave", {}, "Edition", ""],
  ])("finds %s", (_, row, placeholder, expected) => {
    expect(imported(row, placeholder)).toBe(expected);
  });

  test("finds the defaults of the settings where the row is silent", () => {
    const defaults = { Edition: "Professional", DealerEmail: "sales@our.example" };
    expect(imported({ Edition: "" }, "Edition", defaults)).toBe("Professional");
    expect(imported({ Edition: "Basic" }, "Edition", defaults)).toBe("Basic");
    expect(imported({}, "DealerEmail", defaults)).toBe("sales@our.example");
  });

  test("knows of an emails row its columns and the day only", () => {
    const fields = recipientFields({ id: 4, raw_emailid: "a@b.c", user_id: 3, Amount: 5 }, "email", {
      defaults: {},
      now,
    });
    expect([...fields]).toEqual([
      ["raw_emailid", "a@b.c"],
      ["user_id", "3"],
      ["amount", "5"],
      ["currentdate", "November 24th, 2026"],
    ]);
    expect([...recipientFields({ a: "1" }, "none", { defaults: {}, now })]).toEqual([
      ["currentdate", "November 24th, 2026"],
    ]);
  });

  test.each([
    [1, "1st"],
    [2, "2nd"],
    [3, "3rd"],
    [4, "4th"],
    [11, "11th"],
    [12, "12th"],
    [13, "13th"],
    [21, "21st"],
    [30, "30th"],
  ])("writes day %i as %s", (day, text) => {
    const at = { epochMs: Date.UTC(2026, 0, day, 12), zone: "UTC" };
    expect(recipientFields({}, "none", { defaults: {}, now: at }).get("currentdate")).toBe(`January ${text}, 2026`);
  });

  test("takes the day of the zone, not of the host", () => {
    const at = { epochMs: Date.UTC(2026, 10, 24, 20), zone: "Asia/Kolkata" };
    expect(recipientFields({}, "none", { defaults: {}, now: at }).get("currentdate")).toBe("November 25th, 2026");
  });

  test("caps a value without halving a character", () => {
    const value = imported({ Address: `${"x".repeat(9_999)}😀${"y".repeat(90_000)}` }, "Address");
    expect(value).toBe("x".repeat(9_999));
  });

  test("never throws, whatever the row holds", () => {
    const cell = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.double(),
      fc.bigInt(),
      fc.constant(null),
      fc.uint8Array(),
      fc.object(),
    );
    const column = fc.constantFrom("Price", "Tax", "Amount", "extra_data", "id", "Company", "__proto__", "x");
    fc.assert(
      fc.property(fc.dictionary(column, cell), fc.string(), (row, placeholder) => {
        expect(typeof imported(row, placeholder)).toBe("string");
      }),
    );
  });
});

describe("parseAmount", () => {
  test.each([
    ["1200", 1200],
    ["1,200", 1200],
    [" 1,20,000.50 ", 120000.5],
    ["₹ 99", 99],
    ["Rs. 1,500/-", 1500],
    ["-5", -5],
    ["0", 0],
    ["12,50", null],
    ["1.200,50", null],
    ["on request", null],
    ["12 pcs", null],
    ["1e9", null],
    ["9".repeat(400), null],
    ["", null],
  ])("reads %j as %j", (text, amount) => {
    expect(parseAmount(text)).toBe(amount);
  });

  test("reads back every amount that it writes", () => {
    const hundredths = fc.integer({ min: -1_000_000_000, max: 1_000_000_000 });
    fc.assert(
      fc.property(hundredths, (n) => {
        expect(parseAmount(formatAmount(n / 100))).toBeCloseTo(n / 100, 5);
      }),
    );
  });
});
