/** By which spreadsheets know that a file is in UTF-8. */
const MARK = "\uFEFF";

/** Gives the browser a table to save. */
export function saveTable(text: string, name: string): void {
  const address = URL.createObjectURL(new Blob([text.startsWith(MARK) ? text : MARK + text], { type: "text/csv;charset=utf-8" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  URL.revokeObjectURL(address);
}
