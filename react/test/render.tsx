import { getQueriesForElement } from "@testing-library/dom";
import { act, type ReactNode, StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { onTestFinished, vi } from "vitest";

import { QuotaProvider, type ViewProps } from "../src";

/** Shows something in the page, as an application would, and takes it away after the test. */
export async function render(what: ReactNode, view: ViewProps = {}) {
  const place = document.body.appendChild(document.createElement("div"));
  const root = createRoot(place);
  onTestFinished(() => {
    act(() => root.unmount());
    place.remove();
  });
  const defaults: ViewProps = { locale: "en-GB", timeZone: "Europe/Berlin" };
  await act(async () =>
    root.render(
      <StrictMode>
        <QuotaProvider {...defaults} {...view}>
          {what}
        </QuotaProvider>
      </StrictMode>,
    ),
  );
  await settled();
  return { place, ...getQueriesForElement(place) };
}

/** Lets answers arrive and be shown. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 10; turn += 1) await act(async () => await Promise.resolve());
}

/** Waits until something is there. */
export async function eventually<T>(find: () => T): Promise<T> {
  for (let turn = 0; ; turn += 1) {
    try {
      return find();
    } catch (error) {
      if (turn === 400) throw error;
    }
    await act(async () => await new Promise((resolve) => setTimeout(resolve, 5)));
  }
}

/** Lets time pass. */
export async function pass(millis: number): Promise<void> {
  await act(async () => await vi.advanceTimersByTimeAsync(millis));
  await settled();
}

export async function click(element: Element): Promise<void> {
  await act(async () => (element as HTMLElement).click());
  await settled();
}

/** Puts a value into a field, as typing does. */
export async function fill(field: Element, value: string): Promise<void> {
  const prototype = field instanceof HTMLSelectElement ? HTMLSelectElement.prototype : HTMLInputElement.prototype;
  await act(async () => {
    Object.getOwnPropertyDescriptor(prototype, "value")?.set?.call(field, value);
    field.dispatchEvent(new Event(field instanceof HTMLSelectElement ? "change" : "input", { bubbles: true }));
  });
  await settled();
}

export async function press(element: Element, key: string): Promise<void> {
  await act(async () => void element.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true })));
  await settled();
}

/** The page is seen, or not. */
export async function setHidden(isHidden: boolean): Promise<void> {
  vi.spyOn(document, "hidden", "get").mockReturnValue(isHidden);
  await act(async () => void document.dispatchEvent(new Event("visibilitychange")));
  await settled();
}
