import { configurationPage, exampleFile } from "../src/config/reference.js";
import { eventsPage } from "./eventsPage.js";

/** A file of the repository that is written from the code. */
export interface Page {
  /** Its path from the project root. */
  readonly file: string;
  render(this: void): string;
}

/** Every generated file; a test compares each with what stands in the repository. */
export const pages: readonly Page[] = [
  { file: "config/campaignd.example.yaml", render: exampleFile },
  { file: "docs/configuration.md", render: configurationPage },
  { file: "docs/events.md", render: eventsPage },
];
