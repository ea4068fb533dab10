import { type RefObject, useEffect, useRef } from "react";

/** Takes the keyboard to what has come in place of a form. */
export function useFocus(isWanted = true): RefObject<HTMLDivElement | null> {
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (isWanted) place.current?.focus();
  }, [isWanted]);
  return place;
}
