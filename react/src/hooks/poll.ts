import { QuotaError } from "../client/error.js";
import { LONGEST_TIMER } from "../time/instant.js";

/** What a poll knows. Data stay when a later call fails, and then `error` says why they are old. */
export interface PollState<T> {
  data: T | undefined;
  error: QuotaError | undefined;
  isLoading: boolean;
  /** When the data came, in Unix milliseconds as the server tells it. */
  at: number | undefined;
}

export interface PollOptions<T> {
  load: (signal: AbortSignal) => Promise<T>;
  /** Milliseconds between an answer and the next call; 0 asks only once, and again after errors. */
  every: number;
  now: () => number;
}

/** Before anything was answered. */
export const ASKING = { data: undefined, error: undefined, isLoading: true, at: undefined } as const;

const LONGEST = 5 * 60_000;
const FIRST_RETRY = 2_000;
/**
 * Asks again and again while somebody listens and the page is seen. After an error it waits twice as long each time, up
 * to five minutes, and at least as long as the server says. A page that is seen again, or a network that is back, ends
 * the wait, but for what the server says.
 */
export class Poll<T> {
  private state: PollState<T> = ASKING;
  private readonly listeners = new Set<() => void>();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private running: AbortController | undefined;
  private failures = 0;
  private due = 0;
  /** Until when the server wants no call. */
  private notBefore = 0;

  constructor(private readonly options: PollOptions<T>) {}

  readonly snapshot = (): PollState<T> => this.state;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    if (this.listeners.size === 1) this.start();
    return () => {
      this.listeners.delete(listener);
      if (this.listeners.size === 0) this.stop();
    };
  };

  get isHeard(): boolean {
    return this.listeners.size > 0;
  }

  /** For how many milliseconds the server wants no call. */
  get wait(): number {
    return this.notBefore - performance.now();
  }

  /** Asks now, instead of a call that runs. */
  readonly refresh = async (): Promise<void> => {
    clearTimeout(this.timer);
    this.running?.abort();
    const running = new AbortController();
    this.running = running;
    this.change({ isLoading: true });
    try {
      const data = await this.options.load(running.signal);
      if (this.running !== running) return;
      this.failures = 0;
      this.change({ data, error: undefined, isLoading: false, at: this.options.now() });
      this.plan(this.options.every || Number.POSITIVE_INFINITY);
    } catch (thrown) {
      if (this.running !== running) return;
      const error = QuotaError.of(thrown);
      this.change({ error, isLoading: false });
      this.plan(isWorthRetrying(error) ? this.pause(error) : Number.POSITIVE_INFINITY);
    }
  };

  private start(): void {
    document.addEventListener("visibilitychange", this.onSeen);
    window.addEventListener("online", this.onOnline);
    if (document.hidden) this.due = Math.min(this.due, performance.now());
    else this.askAt(this.state.error ? this.notBefore : this.due);
  }

  private stop(): void {
    document.removeEventListener("visibilitychange", this.onSeen);
    window.removeEventListener("online", this.onOnline);
    clearTimeout(this.timer);
    if (this.state.isLoading) this.due = 0;
    this.running?.abort();
    this.running = undefined;
  }

  private readonly onSeen = (): void => {
    if (document.hidden) clearTimeout(this.timer);
    else if (!this.running) this.goOn();
  };

  private readonly onOnline = (): void => {
    if (this.state.error !== undefined && !document.hidden) this.goOn();
  };

  /** Waits for what is left; after an error only as long as the server wants it. */
  private goOn(): void {
    const { error } = this.state;
    this.askAt(error !== undefined && isWorthRetrying(error) ? this.notBefore : this.due);
  }

  private askAt(due: number): void {
    const left = due - performance.now();
    if (left <= 0) void this.refresh();
    // What runs plans the next one itself.
    else if (!this.running) this.plan(left);
  }

  private plan(pause: number): void {
    this.running = undefined;
    this.due = performance.now() + pause;
    clearTimeout(this.timer);
    if (!this.isHeard || document.hidden || pause === Number.POSITIVE_INFINITY) return;
    this.timer = setTimeout(() => void this.refresh(), Math.min(pause, LONGEST_TIMER));
  }

  /** Each page waits a little differently, so that they do not all come back at once. */
  private pause(error: QuotaError): number {
    const doubled = Math.min(LONGEST, Math.max(FIRST_RETRY, this.options.every) * 2 ** this.failures);
    this.failures = Math.min(this.failures + 1, 20);
    const wanted = (error.retryAfter ?? 0) * 1000;
    this.notBefore = performance.now() + wanted;
    return Math.max(doubled * (0.9 + Math.random() / 5), wanted);
  }

  private change(change: Partial<PollState<T>>): void {
    this.state = { ...this.state, ...change };
    for (const listener of [...this.listeners]) listener();
  }
}

/** Whether the same question can be answered later: not where the question itself is wrong. */
export function isWorthRetrying(error: QuotaError): boolean {
  return error.kind !== "refused" && error.kind !== "cancelled";
}
