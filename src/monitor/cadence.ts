import { doneShare, type Progress } from "../campaign/progress.js";

export interface Cadence {
  readonly far: number;
  readonly middle: number;
  readonly near: number;
  readonly end: number;
}

const FAR_BELOW = 0.9;
const MIDDLE_ABOVE = 100;
const NEAR_ABOVE = 10;

/** How long to wait before the next look, milliseconds: the campaign nearest its end decides (20/15/10/5 s by default). */
export function cadence(campaigns: readonly Progress[], steps: Cadence): number {
  return campaigns.reduce((shortest, progress) => Math.min(shortest, stepFor(progress, steps)), steps.far);
}

function stepFor(progress: Progress, steps: Cadence): number {
  if (doneShare(progress) < FAR_BELOW) return steps.far;
  if (progress.pending > MIDDLE_ABOVE) return steps.middle;
  return progress.pending > NEAR_ABOVE ? steps.near : steps.end;
}
