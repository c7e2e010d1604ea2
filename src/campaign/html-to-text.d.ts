/** The part of html-to-text 10 that this project uses; the package ships no types. */
declare module "html-to-text" {
  export interface DomNode {
    readonly attribs?: Readonly<Record<string, string>>;
    readonly children: readonly DomNode[];
  }
  export interface BlockTextBuilder {
    addInline(text: string): void;
  }
  export type Formatter = (
    element: DomNode,
    walk: (children: readonly DomNode[], builder: BlockTextBuilder) => void,
    builder: BlockTextBuilder,
  ) => void;
  export interface Options {
    readonly wordwrap?: number | false;
    readonly limits?: { readonly maxDepth?: number; readonly ellipsis?: string; readonly maxInputLength?: number };
    readonly formatters?: Readonly<Record<string, Formatter>>;
    readonly selectors?: readonly {
      readonly selector: string;
      readonly format?: string;
      readonly options?: Readonly<Record<string, unknown>>;
    }[];
  }
  export function compile(options: Options): (html: string) => string;
}
