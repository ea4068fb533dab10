import "../src/style.css";
import "./page.css";

import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

import { Page } from "./page";
import { firstWords } from "./language";

const place = document.getElementById("page");
if (place !== null) {
  const words = await firstWords();
  createRoot(place).render(
    <StrictMode>
      <Page first={words} />
    </StrictMode>,
  );
}
