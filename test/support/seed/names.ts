import type { Random } from "./random.js";

const FIRST = (
  "aarav aditi ajay amit ananya anil anita arjun asha bhavna chetan deepa deepak divya farhan gauri gopal harish isha jaya " +
  "karan kavita kiran lakshmi mahesh manoj meena mohan nandini neha nikhil nisha pankaj pooja prakash priya rahul rajesh " +
  "ramesh rashmi ravi rekha rohan sanjay sapna shalini shreya sneha sunil suresh swati tanvi uma varun vidya vijay vikram yash"
).split(" ");
const LAST = (
  "agarwal bansal bhat chopra das desai dutta gandhi ghosh gupta iyer jain joshi kapoor khan kulkarni kumar mehta menon " +
  "mishra nair naidu pandey patel pillai rao reddy roy saxena shah sharma shetty singh sinha thakur trivedi varma yadav"
).split(" ");
const TRADE = [
  "Textiles",
  "Traders",
  "Engineering Works",
  "Foods",
  "Pharma",
  "Logistics",
  "Steels",
  "Infotech",
  "Agencies",
];
const FORM = ["Pvt Ltd", "& Sons", "& Co.", "LLP", "Enterprises", "Industries Ltd"];
const DOMAIN_TRADE = ["textiles", "traders", "engineering", "foods", "pharma", "logistics", "steels", "infotech"];

const PLACES = [
  ["Bengaluru", "Bengaluru Urban", "Karnataka", "South", "560001"],
  ["Pune", "Pune", "Maharashtra", "West", "411001"],
  ["Chennai", "Chennai", "Tamil Nadu", "South", "600002"],
  ["Jaipur", "Jaipur", "Rajasthan", "North", "302001"],
  ["Kolkata", "Kolkata", "West Bengal", "East", "700001"],
  ["Indore", "Indore", "Madhya Pradesh", "Central", "452001"],
  ["Kochi", "Ernakulam", "Kerala", "South", "682011"],
  ["Ludhiana", "Ludhiana", "Punjab", "North", "141001"],
] as const;

export interface Place {
  readonly place: string;
  readonly district: string;
  readonly state: string;
  readonly region: string;
  readonly pincode: string;
}

export interface Person {
  readonly first: string;
  readonly last: string;
}

export function person(random: Random): Person {
  return { first: random.pick(FIRST), last: random.pick(LAST) };
}

/** "Anita Rao". */
export function fullName({ first, last }: Person): string {
  return `${capital(first)} ${capital(last)}`;
}

/** "Mehta Steels Pvt Ltd". */
export function companyName(random: Random): string {
  return `${capital(random.pick(LAST))} ${random.pick(TRADE)} ${random.pick(FORM)}`;
}

/** A domain under .example, which no mail can ever leave for (RFC 2606). */
export function mailDomain(random: Random): string {
  if (random.chance(0.35)) return random.pick(["webmail.example", "post.example", "inbox.example"]);
  return `${random.pick(LAST)}-${random.pick(DOMAIN_TRADE)}.example`;
}

export function place(random: Random): Place {
  const [town, district, state, region, pincode] = random.pick(PLACES);
  return { place: town, district, state, region, pincode };
}

function capital(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1);
}
