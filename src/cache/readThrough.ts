import { LRUCache } from "lru-cache";

export interface CacheStats {
  readonly hits: number;
  readonly misses: number;
  readonly size: number;
}

/** Remembers answers for `ttl` milliseconds; concurrent questions share one load, and a load that fails is not remembered. */
export class ReadThrough<K extends string | number, V extends object> {
  private readonly cache: LRUCache<K, V>;
  private hits = 0;
  private misses = 0;

  constructor(options: { readonly ttl: number; readonly max: number; load(key: K): Promise<V> }) {
    this.cache = new LRUCache<K, V>({
      max: options.max,
      ttl: options.ttl,
      fetchMethod: (key) => options.load(key),
    });
  }

  /** The remembered answer, or a fresh one; throws what the load throws. */
  async get(key: K): Promise<V> {
    if (this.cache.has(key)) this.hits += 1;
    else this.misses += 1;
    const value = await this.cache.fetch(key);
    if (value === undefined) throw new Error(`nothing was loaded for ${key}`);
    return value;
  }

  forget(key: K): void {
    this.cache.delete(key);
  }

  stats(): CacheStats {
    return { hits: this.hits, misses: this.misses, size: this.cache.size };
  }
}
