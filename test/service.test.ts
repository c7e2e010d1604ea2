import { describe, expect, test } from "vitest";
import { seconds } from "../src/clock.js";
import { News } from "../src/events.js";
import { type Service, Services } from "../src/service.js";
import { type Deferred, deferred } from "./support/deferred.js";
import { idle, ManualClock } from "./support/manualClock.js";

function setup() {
  const clock = new ManualClock();
  const news = new News();
  const said: object[] = [];
  news.subscribe((name, facts) => said.push({ name, ...facts }));
  const log: string[] = [];
  const service = (name: string, over: Partial<Service> = {}): Service => ({
    name,
    start: async () => void log.push(`start ${name}`),
    stop: async () => void log.push(`stop ${name}`),
    ...over,
  });
  return { clock, said, log, service, services: new Services(clock, news) };
}

describe("services", () => {
  test("start in order, one after the other, and stop in reverse", async () => {
    const { services, service, log } = setup();
    await services.start([service("a"), service("b"), service("c")]);
    await services.stop();
    expect(log).toEqual(["start a", "start b", "start c", "stop c", "stop b", "stop a"]);
  });

  test("of which one fails to start are stopped from that one on; later ones never began", async () => {
    const { services, service, log } = setup();
    const broken = service("b", { start: () => Promise.reject(new Error("no port")) });
    await expect(services.start([service("a"), broken, service("c")])).rejects.toThrow("no port");
    await services.stop();
    expect(log).toEqual(["start a", "stop b", "stop a"]);
  });

  test("are all stopped, also when one of them fails to", async () => {
    const { services, service, log } = setup();
    const broken = service("b", { stop: () => Promise.reject(new Error("stuck")) });
    await services.start([service("a"), broken, service("c")]);
    await expect(services.stop()).rejects.toThrow("stuck");
    expect(log.slice(-2)).toEqual(["stop c", "stop a"]);
  });

  test("are stopped once", async () => {
    const { services, service, log } = setup();
    await services.start([service("a")]);
    await services.stop();
    await services.stop();
    expect(log).toEqual(["start a", "stop a"]);
  });
});

describe("a service that takes long to stop", () => {
  test("is named every five seconds until it has, and not afterwards", async () => {
    const { clock, services, service, said } = setup();
    const slow: Deferred<void> = deferred();
    await services.start([service("slow", { stop: () => slow.promise })]);
    const stopping = services.stop();
    await clock.advance(seconds(4.9));
    expect(said).toEqual([]);
    await clock.advance(seconds(5.2));
    expect(said).toEqual([
      { name: "daemon:awaiting", service: "slow", ms: 5000 },
      { name: "daemon:awaiting", service: "slow", ms: 10_000 },
    ]);
    slow.resolve();
    await stopping;
    await clock.advance(seconds(60));
    expect(said).toHaveLength(2);
  });

  test("is waited for before the one below it is asked", async () => {
    const { services, service, log } = setup();
    const slow: Deferred<void> = deferred();
    await services.start([service("below"), service("slow", { stop: () => slow.promise })]);
    const stopping = services.stop();
    await idle();
    expect(log).not.toContain("stop below");
    slow.resolve();
    await stopping;
    expect(log).toContain("stop below");
  });
});
