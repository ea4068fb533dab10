import type { ReactNode } from "react";

import type { QuotaState } from "../client/wire.js";
import { type Level, type Standing, standingOf } from "../format/level.js";
import type { Labels } from "../labels/labels.js";
import { millisOf } from "../time/instant.js";
import type { View } from "../view/view.js";

const SIGNS = { unlimited: "∞", near: "▲", reached: "■", debt: "◆" };

interface MeterProps {
  quota: QuotaState;
  view: View;
}

/** One quota: its bar, its numbers, and when it renews. */
export function Meter({ quota, view }: MeterProps): ReactNode {
  const { labels, formats } = view;
  const standing = standingOf(quota);
  return (
    <li className={`quota-meter quota-${standing.level}`}>
      <div className="quota-meter-head">
        <bdi className="quota-name">{formats.period(quota.name)}</bdi>
        {standing.level !== "unlimited" && <LevelTag level={standing.level} labels={labels} />}
        <span className="quota-spread" />
        <strong className="quota-number">{leftOf(standing, view)}</strong>
      </div>
      <Bar name={quota.name} standing={standing} view={view} />
      <div className="quota-meter-foot">
        <span className="quota-number">{usedOf(standing, view)}</span>
        {!standing.held.isZero && (
          <span className="quota-number quota-held-key">{labels.held(formats.amount(standing.held))}</span>
        )}
        <span className="quota-spread" />
        <span className="quota-faint">{renewalOf(quota, view)}</span>
      </div>
    </li>
  );
}

function Bar({ name, standing, view }: { name: string; standing: Standing; view: View }): ReactNode {
  if (standing.level === "unlimited") return <div className="quota-bar quota-bar-unlimited" />;
  const percent = (part: number) => `${part / 100}%`;
  return (
    <svg
      className="quota-bar"
      role="meter"
      aria-label={view.formats.period(name)}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.floor((standing.usedPart + standing.heldPart) / 100)}
      aria-valuetext={`${usedOf(standing, view)}, ${leftOf(standing, view)}`}
    >
      <rect className="quota-bar-used" width={percent(standing.usedPart)} height="100%" />
      <rect className="quota-bar-held" x={percent(standing.usedPart)} width={percent(standing.heldPart)} height="100%" />
    </svg>
  );
}

/** How a quota stands by a sign and a word, so that no colour is needed; nothing where all is well. */
export function LevelTag({ level, labels }: { level: Level; labels: Labels }): ReactNode {
  if (level === "ok") return null;
  const words = {
    unlimited: labels.unlimited, near: labels.near, reached: labels.reached, debt: labels.inDebt,
  };
  return (
    <span className={`quota-tag quota-tag-${level}`}>
      <span aria-hidden="true">{SIGNS[level]}</span> {words[level]}
    </span>
  );
}

/** What is left in words, a debt included. */
export function leftOf({ remaining }: Standing, { labels, formats }: View): string {
  if (remaining === undefined) return labels.unlimited;
  if (!remaining.isNegative) return labels.left(formats.amount(remaining));
  return labels.debt(formats.amount(remaining.negated()));
}

function usedOf({ used, limit }: Standing, { labels, formats }: View): string {
  return limit === undefined
    ? `${formats.amount(used)} ${labels.usedOf}`
    : labels.used(formats.amount(used), formats.amount(limit));
}

function renewalOf({ name, resets_at }: QuotaState, { labels, formats, quota }: View): string {
  const left = (millisOf(resets_at) ?? 0) - quota.clock.now();
  return left <= 0 ? labels.renewsNow : labels.renews(formats.duration(left), formats.instant(resets_at, name));
}
