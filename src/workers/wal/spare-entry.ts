import { runSpareFiller } from "./spare-filler.js";

runSpareFiller();
