import { LRUCache } from "lru-cache";

/** Remembers answers for `ttl` milliseconds; concurrent questions share one load, and a load that fails is not remembered. */
export class ReadThrough<K extends string | number, V extends object> {
  private readonly cache: LRUCache<K, V>;

  constructor(options: { readonly ttl: number; readonly max: number; load(key: K): Promise<V> }) {
    this.cache = new LRUCache<K, V>({
      max: options.max,
      ttl: options.ttl,
      fetchMethod: (key) => options.load(key),
    });
  }

  /** The remembered answer, or a fresh one; throws what the load throws. */
  async get(key: K): Promise<V> {
    const value = await this.cache.fetch(key);
    if (value === undefined) throw new Error(`nothing was loaded for ${key}`);
    return value;
  }
}
