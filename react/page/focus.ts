import { type RefObject, useEffect, useRef } from "react";

/** Takes the keyboard to what has come in place of something else. */
export function useFocus<T extends HTMLElement = HTMLDivElement>(isWanted = true): RefObject<T | null> {
  const place = useRef<T>(null);
  useEffect(() => {
    if (isWanted) place.current?.focus();
  }, [isWanted]);
  return place;
}
