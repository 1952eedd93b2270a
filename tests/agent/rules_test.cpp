#include <doctest/doctest.h>

#include <span>
#include <string>

#include "agent/builtin_rules.h"

namespace {

// "calculator expression=2+2; remember key=answer value={it}"; "?" after the tool of a tentative call.
std::string plan_of(const std::string& message) {
    const mt::Plan plan = mt::make_plan(message);
    std::string text = plan.repeat ? "repeat" : "";
    for (const mt::PlannedCall& call : plan.calls) {
        text += (text.empty() ? "" : "; ") + call.tool + (call.tentative ? "?" : "");
        for (const mt::PlannedArgument& argument : call.arguments) {
            text += " " + argument.name + "=" + argument.text;
        }
    }
    return text;
}

struct Row {
    const char* message;
    const char* plan;
};

void check_plans(std::span<const Row> rows) {
    for (const Row& row : rows) {
        CAPTURE(row.message);
        CHECK(plan_of(row.message) == row.plan);
    }
}

}  // namespace

TEST_CASE("plain talk asks for no tool") {
    for (const char* message : {"Hello",
                                "",
                                "   ",
                                "Analyze data",
                                "Custom model query",
                                "What is your name?",
                                "Call me at 555-1234",
                                "555-1234",
                                "2026-11-23",
                                "What is 2026-11-23?",
                                "11/23/2026",
                                "555-123-4567",
                                "What is 555-123-4567?",
                                "42",
                                "-5",
                                "e",
                                "x",
                                "I",
                                "Yes!",
                                "100!",
                                "(5)",
                                "What happened on 2026-11-23?",
                                "Who are you?",
                                "what is it",
                                "What is love?",
                                "Meet me at 10:30",
                                "v1.2.3",
                                "192.168.0.1",
                                "10% off",
                                "calculate my taxes",
                                "analyze this",
                                "analyze 5",
                                "Analyze the 3 reports from 2025 please",
                                "time",
                                "date",
                                "What time is it in Paris?",
                                "What time is dinner?",
                                "Remember when we met?",
                                "Remember me!",
                                "remember",
                                "The mean time",
                                "round table",
                                "square",
                                "double trouble",
                                "add salt",
                                "Multiply your chances by working hard",
                                "What is the meaning of life, the universe and everything?",
                                "Dear all,\nplease find the report attached,\nthanks",
                                "Is this the sum?",
                                "keep calm as a monk",
                                "+",
                                "()",
                                "What does this mean?",
                                "sum",
                                "the result",
                                "...",
                                "???",
                                "C++",
                                "a-b",
                                "and/or",
                                "24-hour service",
                                "\xF0\x9F\x98\x80 hi"}) {
        CAPTURE(message);
        CHECK(plan_of(message) == "");
    }
}

TEST_CASE("calculator rules") {
    const Row table[] = {{"What is 2+2*3?", "calculator expression=2+2*3"},
                         {"what's 2 + 2", "calculator expression=2+2"},
                         {"How much is 7 * (3+4)?", "calculator expression=7*(3+4)"},
                         {"2^10", "calculator expression=2^10"},
                         {"sqrt(2)*3", "calculator expression=sqrt(2)*3"},
                         {"2+2=", "calculator expression=2+2"},
                         {"2 + 2 = ?", "calculator expression=2+2"},
                         {".5 + 1", "calculator expression=.5+1"},
                         {"3x4", "calculator expression=3*4"},
                         {"3 x 4", "calculator expression=3*4"},
                         {"6 × 7 ÷ 2 − 1", "calculator expression=6*7/2-1"},
                         {"Calculate 2+2, please.", "calculator expression=2+2"},
                         {"Please calculate 5!", "calculator expression=5!"},
                         {"compute 1e-3 * 2", "calculator expression=1e-3*2"},
                         {"EVALUATE SQRT(16)", "calculator expression=sqrt(16)"},
                         {"Hi, can you calculate 3*3 for me?", "calculator expression=3*3"},
                         {"Hello! What is 2+2?", "calculator expression=2+2"},
                         {"calculate 1/0", "calculator expression=1/0"},
                         {"calculate 2+", "calculator expression=2+"},
                         {"calculate (2+3", "calculator expression=(2+3"},
                         {"calculate 1,000 + 5", "calculator expression=1,000 + 5"},
                         {"calculate foo(2)", ""},
                         {"calculate 2026-11-23", "calculator expression=2026-11-23"},
                         {"multiply 3 by 4", "calculator expression=3*4"},
                         {"Multiply 2+1 by 4", "calculator expression=(2+1)*4"},
                         {"add 3 to 4", "calculator expression=4+3"},
                         {"add 3 and 4", "calculator expression=sum(3, 4)"},
                         {"Add 3, 4 and 5", "calculator expression=sum(3, 4, 5)"},
                         {"subtract 3 from 10", "calculator expression=10-3"},
                         {"divide 10 by 4", "calculator expression=10/4"},
                         {"raise 2 to the power of 8", "calculator expression=2^8"},
                         {"increase 80 by 5", "calculator expression=80+5"},
                         {"double 21", "calculator expression=2*21"},
                         {"halve -8", "calculator expression=(-8)/2"},
                         {"square 5", "calculator expression=5^2"},
                         {"what is 3 plus 4", "calculator expression=3+4"},
                         {"what is 3 minus 4?", "calculator expression=3-4"},
                         {"what is three times four?", "calculator expression=3*4"},
                         {"10 divided by 4", "calculator expression=10/4"},
                         {"2 to the power of 8", "calculator expression=2^8"},
                         {"what does 6 times 7 equal?", "calculator expression=6*7"},
                         {"what is the square root of 16 plus 9?", "calculator expression=sqrt(16)+9"},
                         {"square root of 2", "calculator expression=sqrt(2)"},
                         {"Take the square root of 16", "calculator expression=sqrt(16)"},
                         {"cube root of (20 + 7)", "calculator expression=cbrt((20+7))"},
                         {"what is 15% of 80?", "calculator expression=15/100*80"},
                         {"15 percent of 80", "calculator expression=15/100*80"},
                         {"What is half of 9?", "calculator expression=0.5*9"},
                         {"what is 5 squared", "calculator expression=5^2"},
                         {"what is pi", "calculator expression=pi"},
                         {"what is the sum of 3 and 4?", "calculator expression=3+4"},
                         {"product of 3 and 4", "calculator expression=3*4"},
                         {"what is the difference between 9 and 4", "calculator expression=9-4"},
                         {"what is the average of 3, 5 and 8?", "calculator expression=mean(3, 5, 8)"},
                         {"multiply the mean of 3, 5 and 8 by 12", "calculator expression=(mean(3, 5, 8))*12"},
                         {"multiply it by 3", "calculator expression={it}*3"},
                         {"multiply by 3", "calculator expression={it}*3"},
                         {"add 10", "calculator expression={it}+10"},
                         {"subtract 4 from that", "calculator expression={it}-4"},
                         {"what is the result plus 1?", "calculator expression={it}+1"},
                         {"round it to 2 decimals", "calculator expression=round({it},2)"}};
    check_plans(table);
}

TEST_CASE("analyze rules") {
    const Row table[] = {
        {"analyze 3, 5, 8", "analyze data=3, 5, 8"},
        {"Please analyse 3 5 8.", "analyze data=3, 5, 8"},
        {"analyze these 3 numbers: 10, 20 and 30 please", "analyze data=10, 20, 30"},
        {"Summarize the numbers 1 2 3", "analyze data=1, 2, 3"},
        {"Give me the statistics of 1, 2", "analyze data=1, 2"},
        {"analyze -1.5, 2e3; 7", "analyze data=-1.5, 2e3, 7"},
        {"analyze 3, abc, 8", "analyze data=3, abc, 8"},
        {"analyze:\n1\n2\n3", "analyze data=1, 2, 3"},
        {"analyze the following numbers:\n1\n2\n3", "analyze data=1, 2, 3"},
        {"what is the standard deviation of 1, 2 and 4?", "analyze data=1, 2, 4"},
        {"p90 of 1, 2, 3", "analyze data=1, 2, 3"},
        {"Analyze this:\nmonth,sales\nJan,10\nFeb,20", "analyze data=month,sales\nJan,10\nFeb,20"},
        {"Analyze the sales column:\nmonth,sales\nJan,10", "analyze data=month,sales\nJan,10 column=sales"},
        {"analyze month,sales\nJan,10\nFeb,20", "analyze data=month,sales\nJan,10\nFeb,20"},
        {"month,sales\nJan,10\nFeb,20\n", "analyze data=month,sales\nJan,10\nFeb,20"}};
    check_plans(table);
}

TEST_CASE("memory rules") {
    const Row table[] = {
        {"Remember that my name is Ada", "remember key=name value=Ada"},
        {"remember that my name is Ada.", "remember key=name value=Ada"},
        {"Can you remember that my name is Ada?", "remember key=name value=Ada"},
        {"remember color = blue", "remember key=color value=blue"},
        {"remember color=blue", "remember key=color value=blue"},
        {"Remember the code is 1234", "remember key=code value=1234"},
        {"remember Favorite Color: Dark Blue", "remember key=favorite color value=Dark Blue"},
        {"remember to buy milk", "remember key=buy milk value=to buy milk"},
        {"remember to buy milk and add sugar", "remember key=buy milk and add sugar value=to buy milk and add sugar"},
        {"Don't forget that my dog is called Rex", "remember key=dog value=called Rex"},
        {"remember pi is 3.14", "remember key=pi value=3.14"},
        {"remember it as answer", "remember key=answer value={it}"},
        {"remember that as my total", "remember key=total value={it}"},
        {"save the mean as average", "remember key=average value={mean}"},
        {"store 42 as answer", "remember key=answer value=42"},
        {"remember that", "remember key=result value={it}"},
        {"remember the result", "remember key=result value={it}"},
        {"remember my mood is {it}", "remember key=mood value={it}"},
        {"recall color", "recall key=color"},
        {"Recall my name.", "recall key=name"},
        {"recall everything", "recall"},
        {"What is my name?", "recall key=name"},
        {"What's my favorite color?", "recall key=favorite color"},
        {"what is the code?", "recall? key=code"},
        {"when is my birthday?", "recall key=birthday"},
        {"Do you remember my name?", "recall key=name"},
        {"What do you remember?", "recall"},
        {"what do you remember about me?", "recall"},
        {"what do you remember about color", "recall key=color"}};
    check_plans(table);
}

TEST_CASE("only references refer") {
    CHECK(mt::make_plan("remember it as answer").calls[0].arguments[1].refers);
    CHECK_FALSE(mt::make_plan("remember my mood is {it}").calls[0].arguments[1].refers);
}

TEST_CASE("time rules") {
    const Row table[] = {{"What time is it?", "current_time"},
                         {"what's the time now", "current_time"},
                         {"current time", "current_time"},
                         {"What is the current date?", "current_time"},
                         {"What day is it today?", "current_time"},
                         {"what is the date and time", "current_time"},
                         {"Please tell me the time", "current_time"},
                         {"today's date", "current_time"},
                         {"What time is it in UTC+2?", "current_time utc_offset=+02:00"},
                         {"what time is it in +05:30", "current_time utc_offset=+05:30"},
                         {"current time in UTC", "current_time utc_offset=Z"},
                         {"what time is it in GMT-3 now?", "current_time utc_offset=-03:00"}};
    check_plans(table);
}

TEST_CASE("history rules") {
    for (const char* message : {"What did I say?", "what did I say before", "What did I say last?",
                                "Repeat my last message", "what was my last message?", "What did I just ask?"}) {
        CAPTURE(message);
        CHECK(plan_of(message) == "repeat");
    }
}

TEST_CASE("chains") {
    const Row table[] = {
        {"analyze 3, 5, 8 and multiply the mean by 12", "analyze data=3, 5, 8; calculator expression={mean}*12"},
        {"Analyze 3, 5, 8, then multiply the average by 12.", "analyze data=3, 5, 8; calculator expression={mean}*12"},
        {"Analyze 3, 5, 8. Then add 10 to the sum.", "analyze data=3, 5, 8; calculator expression={sum}+10"},
        {"analyze 3 5 8 and divide the median by 2", "analyze data=3, 5, 8; calculator expression={median}/2"},
        {"analyze 3, 5, 8 and square the mean", "analyze data=3, 5, 8; calculator expression={mean}^2"},
        {"analyze 3, 5 and 8 and subtract the min from the max",
         "analyze data=3, 5, 8; calculator expression={max}-{min}"},
        {"analyze 3, 5, 8 and multiply the count by the 90th percentile",
         "analyze data=3, 5, 8; calculator expression={count}*{p90}"},
        {"analyze 3, 5, 8 and double the standard deviation",
         "analyze data=3, 5, 8; calculator expression=2*{deviation}"},
        {"calculate 6*7 and remember it as answer", "calculator expression=6*7; remember key=answer value={it}"},
        {"recall price and multiply it by 3", "recall key=price; calculator expression={it}*3"},
        {"What is 2+2? Multiply that by 5 and save it as x",
         "calculator expression=2+2; calculator expression={it}*5; remember key=x value={it}"},
        {"Analyze this:\nm,sales,cost\nJan,10,1\nFeb,20,2\nand multiply the mean of sales by 2",
         "analyze data=m,sales,cost\nJan,10,1\nFeb,20,2; calculator expression={mean of sales}*2"},
        {"remember that my name is Ada and remember that my age is 36",
         "remember key=name value=Ada; remember key=age value=36"},
        {"calculate 1+1\ncalculate 2+2", "calculator expression=1+1; calculator expression=2+2"}};
    check_plans(table);
}

TEST_CASE("long messages are read without trouble") {
    const std::size_t size = 1'000'000;
    CHECK(plan_of(std::string(size, '(')) == "");
    CHECK(plan_of(std::string(size, '.')) == "");
    CHECK(plan_of("calculate " + std::string(size, '(')).starts_with("calculator expression=((("));
    std::string commands;
    std::string numbers = "analyze 1";
    while (commands.size() < size) {
        commands += "multiply 1 by 1 and ";
        numbers += ", 1";
    }
    CHECK(plan_of(commands).starts_with("calculator expression=1*1; calculator"));
    CHECK(mt::make_plan(commands).calls.size() == 6);
    CHECK(plan_of(numbers) == "analyze data=" + numbers.substr(8));
}
