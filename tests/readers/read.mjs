// Read workbooks with SheetJS and exceljs: node read.mjs FILE... prints {reader: {file: [sheet: [row: [value]]]}}.
import { readFileSync } from "node:fs";
import exceljs from "exceljs";
import sheetjs from "xlsx";

function bySheetjs(file) {
  const book = sheetjs.read(readFileSync(file), { type: "buffer" });
  return book.SheetNames.map((name) =>
    sheetjs.utils.sheet_to_json(book.Sheets[name], { header: 1, raw: true, defval: null, blankrows: true }),
  );
}

async function byExceljs(file) {
  const book = new exceljs.Workbook();
  await book.xlsx.readFile(file);
  return book.worksheets.map((sheet) => {
    const rows = [];
    sheet.eachRow({ includeEmpty: true }, (row, number) => {
      rows[number - 1] = row.values.slice(1).map((value) => value?.richText?.map((run) => run.text).join("") ?? value);
    });
    return rows;
  });
}

const found = { sheetjs: {}, exceljs: {} };
for (const file of process.argv.slice(2)) {
  found.sheetjs[file] = bySheetjs(file);
  found.exceljs[file] = await byExceljs(file);
}
console.log(JSON.stringify(found));
